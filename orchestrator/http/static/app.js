// The dashboard: who is logged in, which page it is.
import {post, remove, whenLoggedOut} from "./api.js";
import {Trouble} from "./bits.js";
import {Login, Theme, known, linked, wear} from "./frame.js";
import {html, render, useEffect, useState} from "./html.js";
import {RunPage} from "./run.js";
import {RunsPage} from "./runs.js";

// #/ all runs; #/runs/RUN; #/runs/RUN/TODO
function place() {
  const [, first, run, todo] = location.hash.split("/").map(decodeURIComponent);
  return first === "runs" && run ? {run, todo: todo || null} : {run: null, todo: null};
}

function App() {
  const [who, setWho] = useState(undefined);
  const [at, setAt] = useState(place());
  const [refused, setRefused] = useState(null);
  const enter = (next) => (setWho(next), setRefused(null));
  useEffect(() => {
    const move = async () => {
      const token = linked("/#/");
      setAt(place());
      if (token) await post("/api/session", {token}).then(enter, setRefused);
    };
    addEventListener("hashchange", move);
    whenLoggedOut(() => setWho(null));
    move().then(known).then((found) => setWho((now) => now ?? found));
    return () => removeEventListener("hashchange", move);
  }, []);
  if (who === undefined) return null;
  if (who === null) return html`<${Login} done=${enter} refused=${refused} />`;
  const logOut = () => remove("/api/session").finally(() => setWho(null));
  return html`
    <header class="bar">
      <a class="home" href="#/"><img src="/static/icon.svg" alt="" /> Atlas</a>
      <span class="space"></span>
      <a class="button" href="/voice">Talk</a>
      <${Theme} />
      <span class="quiet" title=${`may ${who.scope}`}>${who.name}${who.scope === "read" ? " (read only)" : ""}</span>
      <button onClick=${logOut}>Log out</button>
    </header>
    <main key=${who.name}>
      <${Trouble} error=${refused} close=${() => setRefused(null)} />
      ${at.run
        ? html`<${RunPage} key=${at.run} run=${at.run} todo=${at.todo} who=${who} />`
        : html`<${RunsPage} who=${who} />`}
    </main>
  `;
}

wear();
render(html`<${App} />`, document.getElementById("app"));
