// One TODO, whole: what it is at, what it printed, what its roles said, what they changed, what was proved.
import {bytes, get, ofTodo, post, text} from "./api.js";
import {State, Trouble, When, lasted, since, took, unfocused, useAct, useTicks, words} from "./bits.js";
import {Diff} from "./diff.js";
import {Question} from "./forms.js";
import {html, useEffect, useRef, useState} from "./html.js";
import {ACTIVE} from "./live.js";

const LOG_SHOWN = 400_000;
const MARKS = {done: "✓", open: "○", dropped: "–", split: "↳"};

export function TodoPanel({feed, todo, may}) {
  const gate = todo.kind === "ask";
  const role = todo.kind !== "task" && !gate && todo.kind !== "push";
  const [view, setView] = useState(role ? "talk" : "log");
  const [busy, error, retry, forget] = useAct(async () => {
    await post(`${ofTodo(feed.id, todo.id)}/retry`);
    panel.current?.focus();
  });
  const panel = useRef(null);
  const active = ACTIVE.has(todo.state);
  const asked = feed.asked.filter((question) => question.todo === todo.id);
  useTicks(active);
  useEffect(() => {
    const aside = panel.current, row = `section a[href="#/runs/${feed.id}/${encodeURIComponent(todo.id)}"]`;
    aside.focus();
    const leave = (event) => event.key === "Escape" && (location.hash = `#/runs/${feed.id}`);
    addEventListener("keydown", leave);
    return () => {
      removeEventListener("keydown", leave);
      if (unfocused() || aside.contains(document.activeElement)) document.querySelector(row)?.focus();
    };
  }, [todo.id]);
  const tab = (name, label) =>
    html`<button role="tab" aria-selected=${view === name} onClick=${() => setView(name)}>${label}</button>`;
  return html`<aside class="card panel" tabindex="-1" ref=${panel} aria-label=${`TODO ${todo.key}`}>
    <div class="row spread">
      <h2>${todo.key}</h2>
      <span class="row">
        ${may && (todo.state === "failed" || todo.state === "blocked")
          ? html`<button class="main" disabled=${busy} onClick=${retry}>Retry</button>`
          : null}
        <a class="button" href=${`#/runs/${feed.id}`} aria-label="close">Close</a>
      </span>
    </div>
    ${todo.title !== todo.key ? html`<p>${todo.title}</p>` : null}
    <div class="row">
      <${State} state=${todo.state} reason=${todo.reason} />
      <span class="quiet">${todo.acting ?? todo.role ?? todo.kind}</span>
      <span class="quiet">${lasted(todo)}</span>
    </div>
    ${todo.detail ? html`<pre tabindex="0">${todo.detail}</pre>` : null}
    ${active && todo.doing ? html`<p>now: <code>${todo.doing}</code></p>` : null}
    ${todo.needs.length ? html`<p class="quiet">needs ${todo.needs.join(", ")}</p>` : null}
    ${todo.checklist.length ? html`<${Checklist} items=${todo.checklist} />` : null}
    <${Trouble} error=${error} close=${forget} />
    ${asked.filter((question) => question.state === "pending").map(
      (question) => html`<${Question} key=${question.id} question=${question} may=${may} about="It waits for an answer."
        again=${() => feed.readQuestions()} />`,
    )}
    ${gate ? html`<${Answers} todo=${todo} asked=${asked} />` : html`
      <div class="tabs" role="tablist">
        ${tab("log", "Log")}${role ? tab("talk", "Conversation") : null}${role ? tab("diff", "Changes") : null}
        ${tab("evidence", "Evidence")}${tab("attempts", "Attempts")}
      </div>
      ${view === "log" ? html`<${Log} feed=${feed} todo=${todo} />` : null}
      ${view === "talk" ? html`<${Talk} feed=${feed} todo=${todo} />` : null}
      ${view === "diff" ? html`<${Changes} feed=${feed} todo=${todo} />` : null}
      ${view === "evidence" ? html`<${Evidence} feed=${feed} todo=${todo} />` : null}
      ${view === "attempts" ? html`<${Attempts} feed=${feed} todo=${todo} />` : null}`}
  </aside>`;
}

// What became of a gate's questions. Its end is when it was answered.
function Answers({todo, asked}) {
  if (!asked.length) return html`<p class="quiet">It has not been asked.</p>`;
  return asked.filter((question) => question.state !== "pending").map(
    (question) => html`<section class="evidence" key=${question.id} aria-label="answer">
      <p class="says"><strong>${question.text}</strong></p>
      ${question.choices.length ? html`<p class="quiet">choices: ${question.choices.join(", ")}</p>` : null}
      <p>${question.answer === null
        ? words(question.state)
        : html`Answered <strong>${question.answer}</strong>, by ${question.answered_by}, <${When} at=${todo.ended_at} />`}</p>
    </section>`,
  );
}

const Checklist = ({items}) =>
  html`<ul class="checklist" aria-label="checklist">
    ${items.map(
      (item) => html`<li class=${item.state}><span aria-hidden="true">${MARKS[item.state] ?? "○"}</span>
        <span class="unseen">${item.state}:</span> ${item.text}</li>`,
    )}
  </ul>`;

// What `read` gives, again whenever one of `types` is heard of the TODO, or it changes its state.
function useRead(feed, todo, types, read) {
  const [found, setFound] = useState(null);
  const [failed, setFailed] = useState(null);
  useEffect(() => {
    let here = true, timer = 0;
    const look = () => read().then((value) => here && (setFound(value), setFailed(null)), (problem) => here && setFailed(problem));
    const hear = (type, event) => {
      if (event.todo !== todo.id || !types.some((each) => type.startsWith(each)) || timer) return;
      timer = setTimeout(() => ((timer = 0), look()), 250);
    };
    look();
    feed.listeners.add(hear);
    return () => {
      here = false;
      clearTimeout(timer);
      feed.listeners.delete(hear);
    };
  }, [todo.id, todo.state]);
  return [found, failed];
}

function Log({feed, todo}) {
  const [shown, setShown] = useState("");
  const [note, setNote] = useState("reading…");
  const end = useRef(null);
  useEffect(() => {
    const decoder = new TextDecoder();
    let here = true, begun = Boolean(todo.started_at), offset = 0, reading = false, again = false;
    const read = async () => {
      if (!begun) return setNote("It has not been started.");
      if (reading) return void (again = true);
      reading = true;
      try {
        do {
          again = false;
          const found = await bytes(`${ofTodo(feed.id, todo.id)}/log?offset=${offset}`);
          if (!here) return;
          offset += found.length;
          const more = decoder.decode(found, {stream: true});
          if (more) setShown((before) => (before + more).slice(-LOG_SHOWN));
          setNote(offset ? (offset > LOG_SHOWN ? "The end of it; atlas logs prints all." : "") : "It has printed nothing.");
        } while (again);
      } catch (problem) {
        if (here) setNote(problem.status === 404 ? "It has not been started." : problem.message);
      } finally {
        reading = false;
      }
    };
    const hear = (type, event) => {
      if (event.todo !== todo.id) return;
      if (type === "todo.state" && event.data.to === "in_progress") {
        begun = true;
        offset = 0;
        setShown("");
      }
      if (type === "todo.log" || type === "todo.state") read();
    };
    setShown("");
    read();
    feed.listeners.add(hear);
    return () => {
      here = false;
      feed.listeners.delete(hear);
    };
  }, [todo.id]);
  useEffect(() => {
    const pre = end.current;
    if (pre && pre.scrollHeight - pre.scrollTop - pre.clientHeight < 200) pre.scrollTop = pre.scrollHeight;
  }, [shown]);
  return html`${shown ? html`<pre ref=${end} tabindex="0" aria-label="log">${shown}</pre>` : null}
    ${note ? html`<p class="quiet">${note}</p>` : null}`;
}

function Talk({feed, todo}) {
  const [stories, failed] = useRead(feed, todo, ["role.", "todo."], () => get(`${ofTodo(feed.id, todo.id)}/transcript`));
  if (failed) return html`<p class="quiet">${failed.message}</p>`;
  if (!stories) return html`<p class="quiet" role="status">reading…</p>`;
  return stories.map(
    (story) => html`<section class="talk">
      <h3>Attempt ${story.number}${story.state ? `: ${words(story.state)}` : ""}</h3>
      ${story.entries.map((entry) => html`<${Entry} entry=${entry} />`)}
    </section>`,
  );
}

function Entry({entry}) {
  switch (entry.type) {
    case "words":
      return html`<div class="talk"><span class="who">${entry.speaker}</span><div class="says">${entry.text}</div></div>`;
    case "call":
      return html`<details class="talk">
        <summary><code>${entry.name} ${entry.about}</code> <span class="quiet">${words(entry.state)}</span></summary>
        <pre tabindex="0">${JSON.stringify(entry.arguments, null, 2)}${entry.result ? `\n\n${entry.result}` : ""}</pre>
      </details>`;
    case "proof":
      return html`<${Proof} item=${entry.item} />`;
    default:
      return html`<p class="quiet">${entry.text}</p>`;
  }
}

function Changes({feed, todo}) {
  const [found, failed] = useRead(feed, todo, ["role.tool", "todo.state"], () => text(`${ofTodo(feed.id, todo.id)}/diff`));
  if (failed) return html`<p class="quiet">${failed.message}</p>`;
  if (found === null) return html`<p class="quiet" role="status">reading…</p>`;
  return found ? html`<${Diff} text=${found} />` : html`<p class="quiet">Nothing has been changed.</p>`;
}

function Evidence({feed, todo}) {
  const [found, failed] = useRead(feed, todo, ["evidence.", "todo.state"], () => get(`${ofTodo(feed.id, todo.id)}/evidence`));
  if (failed) return html`<p class="quiet">${failed.message}</p>`;
  if (!found) return html`<p class="quiet" role="status">reading…</p>`;
  if (!found.evidence.length && !found.outputs.length) return html`<p class="quiet">Nothing has been checked.</p>`;
  return html`
    ${found.evidence.map((item) => html`<${Proof} item=${item} />`)}
    ${found.outputs.map(
      (output) => html`<div class="evidence">
        <code>${output.internal}</code> → <code>${output.remote}</code>
        <div class="quiet">${output.size.toLocaleString()} bytes, ${output.digest}${output.published_at ? "" : " (not published yet)"}</div>
      </div>`,
    )}
  `;
}

const Proof = ({item}) => html`<div class="evidence">
  <div class="row">
    <span class=${item.passed ? "completed" : "failed"}><strong>${item.passed ? "✓ passed" : "✗ failed"}</strong></span>
    <code>${item.command ?? JSON.stringify(item.item)}</code>
    ${item.exit_code === null ? null : html`<span class="quiet">exit ${item.exit_code}</span>`}
    <span class="quiet">${took(item.seconds)}, attempt ${item.fence}</span>
  </div>
  <div class="quiet">on ${item.subject}, by ${item.verifier}, <${When} at=${item.at} /></div>
  ${item.output_tail ? html`<pre tabindex="0">${item.output_tail}</pre>` : null}
</div>`;

function Attempts({feed, todo}) {
  const [found, failed] = useRead(feed, todo, ["todo.state", "question."], () => get(ofTodo(feed.id, todo.id)));
  if (failed) return html`<p class="quiet">${failed.message}</p>`;
  if (!found) return html`<p class="quiet" role="status">reading…</p>`;
  return html`
    ${found.attempts.map(
      (attempt) => html`<div class="evidence">
        <strong>${attempt.fence}</strong> ${words(attempt.outcome ?? "in progress")}${attempt.reason ? ` (${words(attempt.reason)})` : ""}
        <span class="quiet"> by worker ${attempt.worker.slice(-8)}, <${When} at=${attempt.started_at} />, ${since(attempt.started_at, attempt.ended_at)}</span>
        ${attempt.detail ? html`<pre tabindex="0">${attempt.detail}</pre>` : null}
      </div>`,
    )}
    ${found.questions.map(
      (question) => html`<div class="evidence">
        ${question.text} <strong>${question.answer ?? words(question.state)}</strong>
        ${question.answered_by ? html`<span class="quiet"> by ${question.answered_by}</span>` : null}
      </div>`,
    )}
    ${found.attempts.length || found.questions.length ? null : html`<p class="quiet">It has not been started.</p>`}
  `;
}
