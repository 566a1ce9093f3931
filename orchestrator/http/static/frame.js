// What the dashboard and the page for talking have around them: light or dark, and logging in.
import {Problem, get, post} from "./api.js";
import {Trouble, useAct} from "./bits.js";
import {html, useEffect, useRef, useState} from "./html.js";

const THEMES = ["auto", "light", "dark"];

// What this browser has chosen, unless it is told.
export function wear(theme = chosen()) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

function chosen() {
  try {
    return localStorage.getItem("theme") ?? "auto";
  } catch {
    return "auto";
  }
}

export function Theme() {
  const [worn, setWorn] = useState(chosen());
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

export function Login({done, refused}) {
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

// A link with #token=… logs in, also where Atlas is shown already; it does not stay in the address.
export function linked(here) {
  if (!location.hash.startsWith("#token=")) return null;
  let token = location.hash.slice(7);
  try {
    token = decodeURIComponent(token);
  } catch {
    // it is refused as it is
  }
  history.replaceState(null, "", here);
  return token;
}

// Whose session this is; null: nobody's.
export async function known() {
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
