// What people fill in: a new run, and answers to questions.
import {post} from "./api.js";
import {Trouble, useAct} from "./bits.js";
import {html, useEffect, useRef, useState} from "./html.js";

const go = (run) => {
  location.hash = `#/runs/${run.id}`;
};

// Sent again by somebody whose answer was lost, it is one run all the same.
const once = () => crypto.randomUUID?.() ?? String(Math.random());

// Where one goes on who has answered what `card` asks: another question, or the page's heading.
const onward = (card) =>
  [...document.querySelectorAll(".question")].find((each) => each !== card) ?? document.querySelector("h1");

export function NewRun() {
  const [kind, setKind] = useState("goal");
  const [goal, setGoal] = useState("");
  const [repo, setRepo] = useState("");
  const [plan, setPlan] = useState("");
  const [ask, setAsk] = useState(false);
  const sent = useRef({});
  const [busy, error, submit, forget] = useAct(async (event) => {
    event.preventDefault();
    const body = kind === "plan" ? {plan} : {goal, approve: ask ? "ask" : "auto", ...(repo.trim() ? {repo: repo.trim()} : {})};
    const text = JSON.stringify(body);
    if (sent.current.text !== text) sent.current = {text, key: once()};
    go((await post("/api/runs", body, {"Idempotency-Key": sent.current.key})).run);
  });
  const form = useRef(null);
  useEffect(() => form.current.querySelector("textarea").focus(), []);
  const read = async (event) => {
    const file = event.target.files[0];
    if (file) setPlan(await file.text());
  };
  const tab = (name, label) =>
    html`<button type="button" role="tab" aria-selected=${kind === name} onClick=${() => setKind(name)}>${label}</button>`;
  return html`<form class="card" ref=${form} onSubmit=${submit} aria-label="new run">
    <div class="tabs" role="tablist">${tab("goal", "A goal")}${tab("plan", "A plan")}</div>
    ${kind === "goal"
      ? html`<label for="goal">What is to be achieved</label>
          <textarea id="goal" required value=${goal} onInput=${(event) => setGoal(event.target.value)}></textarea>
          <label for="repo">Repository <span class="quiet">(a path or URL that the operator allows)</span></label>
          <input id="repo" size="50" value=${repo} onInput=${(event) => setRepo(event.target.value)} />`
      : html`<label for="plan">plan.yaml</label>
          <textarea id="plan" rows="20" required value=${plan} onInput=${(event) => setPlan(event.target.value)}></textarea>
          <label for="file">or a file</label>
          <input id="file" type="file" accept=".yaml,.yml,.json" onChange=${read} />`}
    <div class="row spread">
      <span>${kind === "goal"
        ? html`<input id="ask" type="checkbox" checked=${ask} onChange=${(event) => setAsk(event.target.checked)} />
            <label for="ask" class="beside"> ask me before a plan that was made is carried out</label>`
        : null}</span>
      <button class="main" disabled=${busy}>Start</button>
    </div>
    <${Trouble} error=${error} close=${forget} />
  </form>`;
}

// `again` reads the questions: this one may have been answered by somebody else, or withdrawn.
export function Question({question, may, about, again}) {
  const [value, setValue] = useState("");
  const card = useRef(null);
  const [busy, error, answer, forget] = useAct(async (chosen) => {
    const here = card.current, panel = here.closest(".panel"); // it may be gone before the answer to this is there
    try {
      await post(`/api/questions/${question.id}/answer`, {value: chosen});
      (panel ?? onward(here)).focus();
    } finally {
      again().catch(() => {});
    }
  });
  const send = (event) => {
    event.preventDefault();
    return answer(value);
  };
  return html`<section class="card question" tabindex="-1" ref=${card} aria-label="question">
    <p><strong>${question.text}</strong></p>
    ${about ? html`<p class="quiet">${about}</p>` : null}
    ${!may
      ? html`<p class="quiet">Your token may only look.</p>`
      : question.choices.length
        ? html`<div class="row">
            ${question.choices.map(
              (choice) => html`<button key=${choice} class="main" disabled=${busy} onClick=${() => answer(choice)}>${choice}</button>`,
            )}
          </div>`
        : html`<form class="row" onSubmit=${send}>
            <label class="unseen" for=${question.id}>answer</label>
            <input id=${question.id} required size="40" value=${value} onInput=${(event) => setValue(event.target.value)} />
            <button class="main" disabled=${busy}>Answer</button>
          </form>`}
    ${question.expires_at ? html`<p class="quiet">until ${new Date(question.expires_at).toLocaleString()}</p>` : null}
    <${Trouble} error=${error} close=${forget} />
  </section>`;
}
