// What happens, as it happens. Browsers come again by themselves, with the number of the last event that they had.
import {allTodos, get, ofRun, ofTodo} from "./api.js";

export const ACTIVE = new Set(["in_progress", "verifying"]);
export const ENDED = new Set(["completed", "failed", "cancelled", "skipped", "not_applicable", "blocked"]);
export const RUN_ENDED = new Set(["completed", "failed", "cancelled"]);
const TYPES = [
  "run.submitted", "run.state", "run.progress", "run.planned", "run.budget", "run.report", "todo.state", "todo.progress",
  "todo.log", "todo.risk", "evidence.recorded", "question.asked", "question.answered", "question.expired",
  "worker.took_over", "role.turn", "role.tool", "role.checklist", "role.note", "resync",
];
const SPENT = new Set(["role.turn", "run.budget"]);
const ASKED = new Set(["question.asked", "question.answered", "question.expired"]);
const LOST = {died: "its worker died", lease_lost: "its worker did not answer"};

// One run: `run`, `todos` (by id, in the order of the plan), `asked` (all its questions, the oldest first), `live` (null:
// not yet). `changed` is called, at most once a frame, when any of it is another; a TODO that is another is another object.
export class RunFeed {
  constructor(id, changed) {
    this.id = id;
    this.run = null;
    this.todos = new Map();
    this.asked = [];
    this.live = null;
    this.listeners = new Set();
    this._changed = changed;
    this._frame = 0;
    this._source = null;
    this._closed = false;
    this._later = {};
  }

  async open() {
    const run = await get(ofRun(this.id));
    this.id = run.id;
    this.run = run;
    await Promise.all([this._readTodos(), this.readQuestions()]);
    if (!this._closed) this._listen(run.last_event);
    this._soon();
  }

  close() {
    this._closed = true;
    this._source?.close();
    cancelAnimationFrame(this._frame);
    for (const timer of Object.values(this._later)) clearTimeout(timer);
  }

  _listen(after) {
    this._source?.close();
    const source = (this._source = new EventSource(`${ofRun(this.id)}/events?after=${after}`));
    const standing = (live) => () => {
      this.live = live;
      this._soon();
      // Closed for good: the answer was no event stream. Whether it is the session, the next question will tell.
      if (!live && source.readyState === EventSource.CLOSED) this._after("again", 3000, () => this._again());
    };
    source.onopen = standing(true);
    source.onerror = standing(false);
    for (const type of TYPES) source.addEventListener(type, (event) => this._take(type, JSON.parse(event.data)));
  }

  async _again() {
    try {
      await this.open();
    } catch {
      this._after("again", 3000, () => this._again());
    }
  }

  _take(type, event) {
    if (type === "resync") return this._again();
    const data = event.data;
    if (type === "run.state" || type === "run.progress") {
      const progress = {settled: data.settled, total: data.total};
      this.run = {...this.run, progress, updated_at: event.at};
      if (type === "run.state") Object.assign(this.run, {state: data.to, reason: data.reason ?? null});
    }
    if (SPENT.has(type)) this._after("spend", 400, () => this._readSpend());
    const todo = this.todos.get(event.todo);
    // No event tells of a question that was withdrawn: its TODO does not wait any more.
    if (ASKED.has(type) || todo?.state === "awaiting_input") this._after("questions", 50, () => this.readQuestions());
    if (todo) this.todos.set(todo.id, heard(todo, type, event));
    else if (event.todo || type === "run.planned") this._after("todos", 100, () => this._readTodos());
    for (const listener of this.listeners) listener(type, event);
    this._soon();
  }

  _after(what, milliseconds, act) {
    if (this._closed || this._later[what]) return;
    this._later[what] = setTimeout(() => {
      delete this._later[what];
      Promise.resolve(act()).catch(() => {});
    }, milliseconds);
  }

  async _readTodos() {
    const found = await allTodos(this.id);
    this.todos = new Map(found.map((todo) => [todo.id, {...this.todos.get(todo.id), ...todo}]));
    this._soon();
  }

  async readQuestions() {
    // All are the oldest ones, a page of them: what is pending may be later.
    const pages = await Promise.all(["pending", "all"].map((state) => get(`/api/questions?run=${this.id}&state=${state}`)));
    const found = new Map(pages.flatMap((page) => page.questions).map((question) => [question.id, question]));
    this.asked = [...found.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    this._soon();
  }

  async _readSpend() {
    const {spend} = await get(ofRun(this.id));
    this.run = {...this.run, spend};
    this._soon();
  }

  _soon() {
    if (this._closed || this._frame) return;
    this._frame = requestAnimationFrame(() => {
      this._frame = 0;
      this._changed();
    });
  }
}

function heard(todo, type, event) {
  const data = event.data;
  switch (type) {
    case "todo.state": {
      const next = {...todo, state: data.to, reason: data.reason ?? null, detail: data.detail ?? null, doing: ""};
      if (data.to === "in_progress") Object.assign(next, {started_at: event.at, ended_at: null, worker: data.worker});
      if (ENDED.has(data.to)) next.ended_at = event.at;
      if (data.attempt !== undefined && data.attempt !== todo.attempt) Object.assign(next, {attempt: data.attempt, checklist: []});
      if (!ACTIVE.has(data.to)) next.line = "";
      if (data.to === "ready" && todo.lost) next.reason = todo.lost;
      return {...next, lost: ""};
    }
    case "worker.took_over":
      return {...todo, lost: LOST[data.cause] ?? ""};
    case "todo.log":
      return data.lines.length ? {...todo, line: data.lines.at(-1)} : todo;
    case "todo.progress":
    case "question.asked":
      return {...todo, line: data.text, doing: ""};
    case "role.turn":
      return {...todo, acting: data.role ?? todo.acting, line: data.text || todo.line, doing: ""};
    case "role.tool":
      return {...todo, acting: data.role ?? todo.acting, doing: `${data.tool} ${data.about}`.trim(), doing_state: data.state};
    case "role.checklist":
      return {...todo, checklist: data.items.map(([state, text]) => ({state, text}))};
    case "role.note":
      return {...todo, line: `note: ${data.text}`};
    default:
      return todo;
  }
}

// All runs, the newest first; and the questions that wait for somebody.
export class RunsFeed {
  constructor(changed) {
    this.runs = new Map();
    this.questions = [];
    this.keys = new Map(); // of the TODOs that the questions are of
    this.next = null;
    this.live = null;
    this.read = false;
    this._changed = changed;
    this._closed = false;
    this._timer = 0;
  }

  async open() {
    const source = (this._source = new EventSource("/api/events"));
    source.onopen = () => {
      this.live = true;
      this._refresh();
    };
    source.onerror = () => {
      this.live = false;
      this._changed();
      if (source.readyState === EventSource.CLOSED && !this._closed) {
        setTimeout(() => !this._closed && this._refresh().then(() => this.open(), () => this.open()), 3000);
      }
    };
    source.addEventListener("resync", () => this._refresh());
    source.addEventListener("run", (event) => {
      const run = JSON.parse(event.data);
      this.runs.set(run.id, run);
      this._changed();
      if (!this._timer) {
        this._timer = setTimeout(() => {
          this._timer = 0;
          this.readQuestions().catch(() => {});
        }, 300);
      }
    });
  }

  close() {
    this._closed = true;
    this._source?.close();
    clearTimeout(this._timer);
  }

  async more() {
    if (this.next) await this._readPage(this.next);
  }

  async _refresh() {
    await Promise.all([this._readPage(null), this.readQuestions()]);
  }

  async _readPage(before) {
    const page = await get(`/api/runs?limit=50${before ? `&before=${before}` : ""}`);
    for (const run of page.runs) this.runs.set(run.id, run);
    if (before || !this.read) this.next = page.next;
    this.read = true;
    this._changed();
  }

  async readQuestions() {
    const {questions} = await get("/api/questions");
    const key = async ({run, todo}) => this.keys.set(todo, (await get(ofTodo(run, todo))).key);
    await Promise.all(questions.filter(({todo}) => !this.keys.has(todo)).map((each) => key(each).catch(() => {})));
    this.questions = questions;
    this._changed();
  }

  listed() {
    return [...this.runs.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
  }
}
