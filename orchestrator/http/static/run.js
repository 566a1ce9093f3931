// One run: its TODOs as they stand, as a list or as a graph; what it waits for; what can be done.
import {ofRun, post, text} from "./api.js";
import {Live, Mark, Progress, Spend, State, Trouble, since, useAct, useTicks} from "./bits.js";
import {Diff} from "./diff.js";
import {Question} from "./forms.js";
import {Graph} from "./graph.js";
import {Component, html, useEffect, useRef, useState} from "./html.js";
import {RUN_ENDED, RunFeed} from "./live.js";
import {TodoPanel} from "./todo.js";

const STANDING = new Set(["held", "budget_exhausted"]);

export function RunPage({run, todo, who}) {
  const [, draw] = useState(0);
  const [failed, setFailed] = useState(null);
  const [view, setView] = useState("list");
  const feed = useRef(null);
  useEffect(() => {
    feed.current = new RunFeed(run, () => draw((n) => n + 1));
    feed.current.open().catch(setFailed);
    return () => feed.current.close();
  }, [run]);
  const found = feed.current;
  useEffect(() => {
    if (found?.run) document.title = `${found.run.name} – Atlas`;
  });
  if (failed) return html`<${Trouble} error=${failed} /><p><a href="#/">All runs</a></p>`;
  if (!found?.run) return html`<p class="quiet" role="status">reading…</p>`;
  const may = who.scope !== "read";
  const chosen = todo ? found.todos.get(todo) : null;
  const tab = (name, label) =>
    html`<button role="tab" aria-selected=${view === name} onClick=${() => setView(name)}>${label}</button>`;
  return html`
    <${Head} run=${found.run} live=${found.live} may=${may} />
    ${found.questions.map(
      (question) => html`<${Question} key=${question.id} question=${question} may=${may} about=${found.todos.get(question.todo)?.key} />`,
    )}
    <div class=${`split ${chosen ? "open" : ""}`}>
      <section class="card" aria-label="TODOs">
        <div class="tabs" role="tablist">
          ${tab("list", `List (${found.todos.size})`)}${tab("graph", "Graph")}${tab("report", "Report")}${tab("diff", "Changes")}
        </div>
        ${view === "list" ? html`<${List} run=${found.id} todos=${found.todos} chosen=${todo} />` : null}
        ${view === "graph" ? html`<${Graph} run=${found.id} todos=${found.todos} chosen=${todo} />` : null}
        ${view === "report" ? html`<${Text} path=${`${ofRun(found.id)}/report`} stamp=${found.run.state} empty="There is no report." />` : null}
        ${view === "diff" ? html`<${Text} path=${`${ofRun(found.id)}/diff`} stamp=${found.run.updated_at} diff empty="Nothing has been changed." />` : null}
      </section>
      ${chosen ? html`<${TodoPanel} key=${chosen.id} feed=${found} todo=${chosen} may=${may} />` : null}
    </div>
  `;
}

function Head({run, live, may}) {
  const [busy, error, act, forget] = useAct((what) => post(`${ofRun(run.id)}/${what}`));
  const ended = RUN_ENDED.has(run.state);
  const cancel = () => confirm(`End ${run.name} for good?`) && act("cancel");
  return html`
    <div class="card">
      <div class="row spread">
        <h1>${run.name}</h1>
        <span class="row">
          <${Live} live=${live} />
          ${may && !ended && !STANDING.has(run.state) ? html`<button disabled=${busy} onClick=${() => act("hold")}>Hold</button>` : null}
          ${may && STANDING.has(run.state) ? html`<button class="main" disabled=${busy} onClick=${() => act("resume")}>Resume</button>` : null}
          ${may && !ended ? html`<button class="danger" disabled=${busy} onClick=${cancel}>Cancel</button>` : null}
        </span>
      </div>
      <div class="row" aria-live="polite">
        <${State} state=${run.state} reason=${run.reason} />
        <${Progress} progress=${run.progress} state=${run.state} />
        <${Spend} spend=${run.spend} />
        <span class="quiet">${run.id.slice(-8)}</span>
      </div>
      ${run.goal && run.goal !== run.name ? html`<p class="quiet">${run.goal}</p>` : null}
      <${Trouble} error=${error} close=${forget} />
    </div>
  `;
}

function List({run, todos, chosen}) {
  useTicks([...todos.values()].some((todo) => todo.state === "in_progress" || todo.state === "verifying"));
  return html`<ol class="todos">
    ${[...todos.values()].map((todo) => html`<${Row} key=${todo.id} run=${run} todo=${todo} chosen=${todo.id === chosen} />`)}
  </ol>`;
}

class Row extends Component {
  shouldComponentUpdate(next) {
    const active = next.todo.state === "in_progress" || next.todo.state === "verifying";
    return active || next.todo !== this.props.todo || next.chosen !== this.props.chosen;
  }

  render({run, todo, chosen}) {
    const said = todo.reason ? `${todo.reason.replaceAll("_", " ")}${todo.detail ? `: ${todo.detail}` : ""}` : "";
    return html`<li>
      <a href=${`#/runs/${run}/${encodeURIComponent(todo.id)}`} aria-current=${chosen ? "true" : null}>
        <${Mark} state=${todo.state} />
        <span class="key">${todo.title === todo.key ? todo.key : html`${todo.key} <span class="quiet">${todo.title}</span>`}</span>
        <span class="line">${said || todo.doing || todo.line || ""}</span>
        <span class="time">${todo.started_at ? since(todo.started_at, todo.ended_at) : ""}</span>
      </a>
    </li>`;
  }
}

function Text({path, stamp, diff, empty}) {
  const [found, setFound] = useState(null);
  const [failed, setFailed] = useState(null);
  useEffect(() => {
    let here = true;
    text(path).then((read) => here && (setFound(read), setFailed(null)), (problem) => here && setFailed(problem));
    return () => (here = false);
  }, [path, stamp]);
  if (failed) return failed.status === 404 ? html`<p class="quiet">${failed.message}</p>` : html`<${Trouble} error=${failed} />`;
  if (found === null) return html`<p class="quiet" role="status">reading…</p>`;
  if (!found) return html`<p class="quiet">${empty}</p>`;
  return diff ? html`<${Diff} text=${found} />` : html`<pre tabindex="0">${found}</pre>`;
}
