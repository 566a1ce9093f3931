// What people fill in: a new run, and answers to questions.
import {post} from "./api.js";
import {Trouble, useAct} from "./bits.js";
import {html, useState} from "./html.js";

const go = (run) => {
  location.hash = `#/runs/${run.id}`;
};

// Sent twice by a browser that lost the answer, it is one run all the same.
const once = () => crypto.randomUUID?.() ?? String(Math.random());

export function NewRun() {
  const [kind, setKind] = useState("goal");
  const [goal, setGoal] = useState("");
  const [repo, setRepo] = useState("");
  const [plan, setPlan] = useState("");
  const [ask, setAsk] = useState(false);
  const [busy, error, submit, forget] = useAct(async (event) => {
    event.preventDefault();
    const approve = ask ? "ask" : "auto";
    const body = kind === "plan" ? {plan, approve} : {goal, approve, ...(repo.trim() ? {repo: repo.trim()} : {})};
    go((await post("/api/runs", body)).run);
  });
  const read = async (event) => {
    const file = event.target.files[0];
    if (file) setPlan(await file.text());
  };
  const tab = (name, label) =>
    html`<button type="button" role="tab" aria-selected=${kind === name} onClick=${() => setKind(name)}>${label}</button>`;
  return html`<form class="card" onSubmit=${submit} aria-label="new run">
    <div class="tabs" role="tablist">${tab("goal", "A goal")}${tab("plan", "A plan")}</div>
    ${kind === "goal"
      ? html`<label for="goal">What is to be achieved</label>
          <textarea id="goal" required value=${goal} onInput=${(event) => setGoal(event.target.value)}></textarea>
          <label for="repo">Repository <span class="quiet">(a path or URL that the operator allows)</span></label>
          <input id="repo" size="50" value=${repo} onInput=${(event) => setRepo(event.target.value)} />`
      : html`<label for="plan">plan.yaml</label>
          <textarea id="plan" required value=${plan} onInput=${(event) => setPlan(event.target.value)}></textarea>
          <label for="file">or a file</label>
          <input id="file" type="file" accept=".yaml,.yml,.json" onChange=${read} />`}
    <div class="row spread">
      <span>
        <input id="ask" type="checkbox" checked=${ask} onChange=${(event) => setAsk(event.target.checked)} />
        <label for="ask" class="beside"> ask me before a plan that was made is carried out</label>
      </span>
      <button class="main" disabled=${busy}>Start</button>
    </div>
    <${Trouble} error=${error} close=${forget} />
  </form>`;
}

export function Question({question, may, about}) {
  const [value, setValue] = useState("");
  const [busy, error, answer, forget] = useAct((chosen) => post(`/api/questions/${question.id}/answer`, {value: chosen}));
  const send = (event) => {
    event.preventDefault();
    return answer(value);
  };
  return html`<section class="card question" aria-label="question">
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
