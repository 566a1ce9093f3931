"""All that Atlas says of its own, in both languages. What others wrote is made fit to be heard on its way into a
sentence (`voice.wording.spoken`): callers pass names, titles and questions as they are."""
