// One run: its TODOs as they stand, as a list or as a graph; what it waits for; what can be done.
import {ofRun, post, text} from "./api.js";
import {Heading, Live, Mark, Progress, Spend, State, Trouble, lasted, useAct, useTicks, words} from "./bits.js";
import {Diff} from "./diff.js";
import {Question} from "./forms.js";
import {Graph} from "./graph.js";
import {Component, html, useEffect, useRef, useState} from "./html.js";
import {ACTIVE, RUN_ENDED, RunFeed} from "./live.js";
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
  const roles = [...found.todos.values()].some((each) => each.role);
  const pending = found.asked.filter((question) => question.state === "pending" && question.todo !== chosen?.id); // its panel has those
  const tab = (name, label) =>
    html`<button role="tab" aria-selected=${view === name} onClick=${() => setView(name)}>${label}</button>`;
  return html`
    <${Head} run=${found.run} live=${found.live} may=${may} />
    ${pending.map(
      (question) => html`<${Question} key=${question.id} question=${question} may=${may} about=${found.todos.get(question.todo)?.key}
        again=${() => found.readQuestions()} />`,
    )}
    <div class=${`split ${chosen ? "open" : ""}`}>
      <section class="card" aria-label="TODOs">
        <div class="tabs" role="tablist">
          ${tab("list", `List (${found.todos.size})`)}${tab("graph", "Graph")}${tab("report", "Report")}${roles ? tab("diff", "Changes") : null}
        </div>
        ${view === "list" ? html`<${List} run=${found.id} todos=${found.todos} asked=${found.asked} chosen=${todo} />` : null}
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
  const ended = RUN_ENDED.has(run.state), standing = STANDING.has(run.state);
  const cancel = async () => {
    if (confirm(`End ${run.name} for good?`) && (await act("cancel"))) document.querySelector("h1").focus();
  };
  return html`
    <div class="card">
      <div class="row spread">
        <${Heading}>${run.name}<//>
        <span class="row">
          <${Live} live=${live} />
          ${may && !ended
            ? html`<button class=${standing ? "main" : ""} disabled=${busy} onClick=${() => act(standing ? "resume" : "hold")}>
                ${standing ? "Resume" : "Hold"}
              </button>`
            : null}
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

function List({run, todos, asked, chosen}) {
  useTicks([...todos.values()].some((todo) => ACTIVE.has(todo.state)));
  const last = new Map(asked.map((question) => [question.todo, question]));
  return html`<ol class="todos">
    ${[...todos.values()].map(
      (todo) => html`<${Row} key=${todo.id} run=${run} todo=${todo} asked=${last.get(todo.id)} chosen=${todo.id === chosen} />`,
    )}
  </ol>`;
}

// What is told of a TODO besides its name; of a gate what it asks, and then what it was told.
function line(todo, asked) {
  if (todo.reason) return `${words(todo.reason)}${todo.detail ? `: ${todo.detail}` : ""}`;
  if (todo.state === "awaiting_input" && asked) return asked.text;
  if (todo.kind === "ask" && asked?.answer != null) return `${asked.answer} (${asked.answered_by})`;
  return todo.doing || todo.line || "";
}

class Row extends Component {
  shouldComponentUpdate(next) {
    const now = this.props;
    return ACTIVE.has(next.todo.state) || next.todo !== now.todo || next.asked !== now.asked || next.chosen !== now.chosen;
  }

  render({run, todo, asked, chosen}) {
    return html`<li>
      <a href=${`#/runs/${run}/${encodeURIComponent(todo.id)}`} aria-current=${chosen ? "true" : null}>
        <${Mark} state=${todo.state} />
        <span class="key">${todo.title === todo.key ? todo.key : html`${todo.key} <span class="quiet">${todo.title}</span>`}</span>
        <span class="line">${line(todo, asked)}</span>
        <span class="time">${lasted(todo)}</span>
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
