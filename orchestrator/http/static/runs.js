// All runs, what waits for somebody, and a new one.
import {Heading, Live, Progress, Spend, State, Trouble, When, useAct} from "./bits.js";
import {NewRun, Question} from "./forms.js";
import {html, useEffect, useRef, useState} from "./html.js";
import {RunsFeed} from "./live.js";

export function RunsPage({who}) {
  const [, draw] = useState(0);
  const [creating, setCreating] = useState(false);
  const feed = useRef(null);
  useEffect(() => {
    feed.current = new RunsFeed(() => draw((n) => n + 1));
    feed.current.open();
    document.title = "Atlas";
    return () => feed.current.close();
  }, []);
  const [busy, error, more] = useAct(() => feed.current.more());
  const found = feed.current;
  const may = who.scope !== "read";
  const none = may && found?.read && !found.runs.size;
  useEffect(() => void (none && setCreating(true)), [none]); // it stays, whoever begins one meanwhile
  if (!found?.read) return html`<p class="quiet" role="status">reading…</p>`;
  const runs = found.listed();
  const names = new Map(runs.map((run) => [run.id, run.name]));
  return html`
    <div class="row spread">
      <${Heading}>Runs<//>
      <span class="row">
        <${Live} live=${found.live} />
        ${may ? html`<button class="main" aria-expanded=${creating} onClick=${() => setCreating(!creating)}>New run</button>` : null}
      </span>
    </div>
    ${creating ? html`<${NewRun} />` : null}
    ${found.questions.map(
      (question) => html`<${Question} key=${question.id} question=${question} may=${may}
        about=${html`<a href=${`#/runs/${question.run}`}>${names.get(question.run) ?? "its run"}</a>${" waits for this: "}
          <a href=${`#/runs/${question.run}/${encodeURIComponent(question.todo)}`}>${found.keys.get(question.todo) ?? "its TODO"}</a>`}
        again=${() => found.readQuestions()} />`,
    )}
    ${runs.length
      ? html`<div class="card">
          <table class="runs">
            <thead>
              <tr>
                <th scope="col">name</th><th scope="col">state</th><th scope="col">progress</th>
                <th scope="col">spent</th><th scope="col">begun</th>
              </tr>
            </thead>
            <tbody>
              ${runs.map(
                (run) => html`<tr key=${run.id}>
                  <td class="name"><a href=${`#/runs/${run.id}`}>${run.name}</a></td>
                  <td><${State} state=${run.state} reason=${run.reason} /></td>
                  <td><${Progress} progress=${run.progress} state=${run.state} /></td>
                  <td><${Spend} spend=${run.spend} /></td>
                  <td><${When} at=${run.created_at} /></td>
                </tr>`,
              )}
            </tbody>
          </table>
          ${found.next ? html`<button disabled=${busy} onClick=${more}>Older runs</button>` : null}
        </div>`
      : html`<p class="quiet">There are no runs yet: start one here, or with <code>atlas run plan.yaml --detach</code>.</p>`}
    <${Trouble} error=${error} />
  `;
}
