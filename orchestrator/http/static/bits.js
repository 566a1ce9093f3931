// Small things that several pages show.
import {html, useEffect, useRef, useState} from "./html.js";
import {ACTIVE, ENDED} from "./live.js";

export const MARKS = {
  pending: "○", ready: "◌", in_progress: "●", verifying: "◐", awaiting_input: "?", blocked: "■", completed: "✓",
  failed: "✗", cancelled: "⊘", skipped: "↷", not_applicable: "–", held: "‖", budget_exhausted: "$", planning: "●",
};

export const words = (state) => (state ?? "").replaceAll("_", " ");

// A reason that begins with the state's own word says it all: "held by ada".
export const State = ({state, reason}) => {
  const said = words(reason);
  const whole = said.startsWith(words(state));
  return html`<span class="state ${state}"><span aria-hidden="true">${MARKS[state] ?? "•"}</span> ${whole ? said : words(state)}${
    said && !whole ? html`<span class="reason"> (${said})</span>` : null
  }</span>`;
};

export const Mark = ({state}) =>
  html`<span class="mark ${state}" title=${words(state)}><span aria-hidden="true">${MARKS[state] ?? "•"}</span
    ><span class="unseen">${words(state)}</span></span>`;

export const Progress = ({progress, state}) => {
  const {settled, total} = progress;
  return html`<span class="progress">
    <progress class=${state} value=${settled} max=${total || 1} aria-label="progress"></progress>
    <span class="count">${settled}/${total}</span>
  </span>`;
};

export const Spend = ({spend}) =>
  spend && spend.tokens
    ? html`<span class="spend" title="tokens of all model calls, and what they cost">
        ${spend.tokens.toLocaleString()} tokens${spend.cached_tokens ? html` (${spend.cached_tokens.toLocaleString()} cached)` : null}${
          spend.usd ? html`, $${spend.usd.toFixed(4)}` : null
        }
      </span>`
    : null;

export function took(seconds) {
  if (!(seconds >= 0)) return "";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.round(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export const since = (start, end) =>
  start ? took(((end ? Date.parse(end) : Date.now()) - Date.parse(start)) / 1000) : "";

// How long it has been at it, or was; nothing while it waits.
export const lasted = ({state, started_at, ended_at}) =>
  ACTIVE.has(state) ? since(started_at) : ENDED.has(state) && ended_at ? since(started_at, ended_at) : "";

export const When = ({at}) => (at ? html`<time datetime=${at} title=${at}>${new Date(at).toLocaleString()}</time>` : null);

// An error of the last thing that was tried, until it is tried again or put away.
export const Trouble = ({error, close}) =>
  error
    ? html`<div class="trouble" role="alert">
        <p><strong>${error.message}</strong>${error.hint ? html`<br />${error.hint}` : null}</p>
        ${close ? html`<button class="plain" onClick=${close} aria-label="put this message away">×</button>` : null}
      </div>`
    : null;

export const unfocused = () => document.activeElement === document.body;

// Does it once at a time; gives [whether it is being done, what went wrong, do it, forget what went wrong].
export function useAct(act) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const run = async (...given) => {
    if (busy) return undefined;
    const from = document.activeElement; // which loses the focus while it is disabled
    setBusy(true);
    setError(null);
    try {
      return await act(...given);
    } catch (problem) {
      setError(problem);
      return undefined;
    } finally {
      setBusy(false);
      requestAnimationFrame(() => requestAnimationFrame(() => unfocused() && from?.focus()));
    }
  };
  return [busy, error, run, () => setError(null)];
}

// Once a second, as long as `on`.
export function useTicks(on) {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!on) return undefined;
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, [on]);
}

// `live` is null before the first time.
export const Live = ({live}) =>
  html`<span class="live ${live ? "on" : live === null ? "" : "off"}" role="status">${
    live ? "live" : live === null ? "connecting…" : "no connection, trying again…"
  }</span>`;

// The heading of a page that was come to: whoever has nowhere else to go on, goes on here.
export function Heading({children}) {
  const heading = useRef(null);
  useEffect(() => void (unfocused() && heading.current.focus()), []);
  return html`<h1 tabindex="-1" ref=${heading}>${children}</h1>`;
}
