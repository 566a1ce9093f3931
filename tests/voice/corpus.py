"""What is said to the engines in tests: commands, and talk that is none."""

from __future__ import annotations

from voice.intents import (
    Approve,
    Cancel,
    Choose,
    Detail,
    Hold,
    Intent,
    No,
    Questions,
    Quiet,
    Reject,
    Repeat,
    Resume,
    Retry,
    StartPlan,
    Status,
    Stop,
    Yes,
)

RUNS = ("nightly", "parser")
PLANS = ("nightly", "release")

COMMANDS: dict[str, Intent] = {
    "start the plan nightly": StartPlan("nightly"),
    "what is the status": Status(),
    "status of the parser run": Status("parser"),
    "stop": Stop(),
    "stop everything": Stop("everything"),
    "be quiet": Quiet(),
    "cancel the run": Cancel(),
    "cancel the nightly run": Cancel("nightly"),
    "pause the run": Hold(),
    "resume": Resume(),
    "try again": Retry(),
    "are there any questions": Questions(),
    "approve": Approve(),
    "reject": Reject(),
    "option two": Choose(2),
    "choose number five": Choose(5),
    "yes": Yes(),
    "no": No(),
    "say that again": Repeat(),
    "more detail": Detail(more=True),
}
"""Twenty that need no free text, which a grammar can't hear."""

OTHER = """
The weather is nice today and the birds are singing.
I went to the market to buy some bread and cheese.
She sells sea shells by the sea shore.
Can you pass me the salt please.
The train to London leaves at half past nine.
He told me that the meeting was moved to Thursday.
We should paint the kitchen before the winter comes.
My brother plays the guitar in a small band.
There is a bus stop in front of the house.
The doctor approved of the new medicine.
They cancelled all the flights because of the snow.
Don't stop the music, I like this song.
Do not cancel my subscription yet.
Never approve anything without reading it.
I would start with the soup and then have the fish.
The plan was nightly discussed at the round table.
What time does the library close on Sundays.
Put the kettle on and make a cup of tea.
The children are playing in the garden with a ball.
It takes about twenty minutes to get to the airport.
I think that we need a bigger boat.
The cat sat on the mat and fell asleep.
Could you turn the volume down a little.
How much does this jacket cost in the other shop.
The stock market fell by two percent this morning.
Please remember to water the plants on the balcony.
The old man walked slowly across the bridge.
Everyone was surprised by the sudden announcement.
I have never been to Australia, but I would love to go.
The computer is running out of memory again.
You should see a movie about the ocean.
This is the best pizza that I have ever eaten.
Let us meet at the corner near the post office.
The river was frozen from December until March.
At last we arrived at the top of the hill.
Alas, the Atlantic ocean was too cold for a swim.
Hello, my name is Sarah and I live in Boston.
Nobody knows why the lights went out.
The teacher asked the students a difficult question.
Are you coming to the party on Saturday night.
The stopwatch shows twelve seconds.
Approximately one thousand people attended the concert.
A pencil and a candle are on the table.
Stopping by the woods on a snowy evening.
The candle in the rain is no longer burning.
He improved his approach to the problem.
The staff were very helpful and friendly.
Top of the morning to you.
Yesterday all my troubles seemed so far away.
Know your rights and use them wisely.
Start your engines, ladies and gentlemen.
The startled horse ran across the field.
We counsel the youth in our community.
A rose is a rose is a rose.
Good evening and welcome to the nine o'clock news.
The recipe needs three eggs and a cup of flour.
I'd rather stay at home and read a good book.
Our neighbours have a very loud dog.
The museum opens at ten in the morning.
What a beautiful painting, who made it.
""".strip().splitlines()
"""Sixty sentences of something else, with words of commands in them."""

WAKES = """
Atlas, what is the status
Hey Atlas stop
Atlas, cancel the run
Hey Atlas, fix the failing tests
Atlas stop
Atlas, are there any questions
Hey Atlas, what are you doing
Atlas
Okay Atlas, approve it
Hey Atlas
""".strip().splitlines()

NEIGHBOURS = """
At last we arrived.
Alas, it was too late.
The Atlantic ocean is wide.
That's all I wanted.
At least it works.
The atmosphere was hot and less humid.
Atlanta is a city in Georgia.
He is at lunch.
That lasts for a week.
A class of students.
The mattress is soft.
Athletes run fast.
At loss for words.
It's useless at this point.
Add less salt to it.
What else is new.
Hats less than ten dollars.
The cat lost its toy.
Outlast everyone else.
A glass of water.
That's less than I thought.
Let us go now.
Battles were lost.
The last bus has left.
A lass with red hair.
""".strip().splitlines()
"""What sounds like the wake word."""
