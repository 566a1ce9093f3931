// The frame: who is logged in, which page it is, light or dark.
import {Problem, get, post, remove, whenLoggedOut} from "./api.js";
import {Trouble, useAct} from "./bits.js";
import {html, render, useEffect, useRef, useState} from "./html.js";
import {RunPage} from "./run.js";
import {RunsPage} from "./runs.js";

const THEMES = ["auto", "light", "dark"];

function wear(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

function theme() {
  try {
    return localStorage.getItem("theme") ?? "auto";
  } catch {
    return "auto";
  }
}

function Theme() {
  const [worn, setWorn] = useState(theme());
  const next = THEMES[(THEMES.indexOf(worn) + 1) % THEMES.length];
  const change = () => {
    try {
      localStorage.setItem("theme", next);
    } catch {
      // it is worn until the page is left
    }
    wear(next);
    setWorn(next);
  };
  return html`<button onClick=${change} title="light, dark, or as this device is">theme: ${worn}</button>`;
}

// #/ all runs; #/runs/RUN; #/runs/RUN/TODO
function place() {
  const [, first, run, todo] = location.hash.split("/").map(decodeURIComponent);
  return first === "runs" && run ? {run, todo: todo || null} : {run: null, todo: null};
}

function Login({done, refused}) {
  const [token, setToken] = useState("");
  const [busy, error, logIn] = useAct(async (event) => {
    event.preventDefault();
    done(await post("/api/session", {token: token.trim()}));
  });
  const field = useRef(null);
  useEffect(() => field.current.focus(), []);
  return html`<main class="login card">
    <h1>Atlas</h1>
    <form onSubmit=${logIn}>
      <label for="token">Token</label>
      <input id="token" ref=${field} type="password" autocomplete="current-password" required value=${token} onInput=${(event) => setToken(event.target.value)} />
      <p class="quiet">
        <code>atlas serve</code> printed the first one, and keeps it in the file <code>token</code> in its home;
        <code> atlas token new NAME</code> makes more.
      </p>
      <button class="main" disabled=${busy}>Log in</button>
    </form>
    <${Trouble} error=${error ?? refused} />
  </main>`;
}

function App() {
  const [who, setWho] = useState(undefined);
  const [at, setAt] = useState(place());
  const [refused, setRefused] = useState(null);
  const enter = (next) => (setWho(next), setRefused(null));
  useEffect(() => {
    const move = async () => {
      const token = linked();
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

// A link with #token=… logs in, also where Atlas is shown already; it does not stay in the address.
function linked() {
  if (!location.hash.startsWith("#token=")) return null;
  const token = decodeURIComponent(location.hash.slice(7));
  history.replaceState(null, "", "/#/");
  return token;
}

// Whose session this is; null: nobody's.
async function known() {
  try {
    return await get("/api/session");
  } catch (problem) {
    if (problem instanceof Problem && problem.status === 0) {
      await new Promise((resolve) => setTimeout(resolve, 2000));
      return known();
    }
    return null;
  }
}

wear(theme());
render(html`<${App} />`, document.getElementById("app"));
