// Parts of the page for talking.
import {html, useEffect, useRef, useState} from "/static/html.js";

const KEPT = "voice", TAIL_MS = 250, NEAR_PX = 40;
const USUAL = {mode: "hold", language: "en", quick: true, headphones: false};

// Settings, kept by this browser.
export function remembered() {
  const [settings, set] = useState(() => {
    try {
      return {...USUAL, ...JSON.parse(localStorage.getItem(KEPT) ?? "{}")};
    } catch {
      return USUAL;
    }
  });
  const change = (changed) => {
    const next = {...settings, ...changed};
    try {
      localStorage.setItem(KEPT, JSON.stringify(next));
    } catch {
      // they last until the page is left
    }
    set(next);
  };
  return [settings, change];
}

// Held by a finger, the mouse, space or enter; who can't hold (by a screen reader, say) presses it twice.
export function TalkButton({held, live, hold, now}) {
  const down = useRef(false), timer = useRef(0);
  const press = () => {
    clearTimeout(timer.current);
    if (!down.current && live) hold((down.current = true));
  };
  const release = () => {
    if (!down.current) return;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => hold((down.current = false)), TAIL_MS); // of the last word
  };
  useEffect(() => {
    if (live) return;
    clearTimeout(timer.current);
    if (down.current) hold((down.current = false));
  }, [live]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const keys = new Set([" ", "Enter"]);
  const key = (act) => (event) => {
    if (!keys.has(event.key)) return;
    event.preventDefault();
    if (!event.repeat) act();
  };
  const clicked = (event) => event.detail === 0 && !event.pointerType && (down.current ? release() : press());
  return html`<button
    class=${`main talk-button ${held ? "held" : ""}`} aria-pressed=${held} aria-disabled=${!live}
    onPointerDown=${(event) => (event.currentTarget.setPointerCapture(event.pointerId), press())}
    onPointerUp=${release} onPointerCancel=${release} onKeyDown=${key(press)} onKeyUp=${key(release)} onBlur=${release}
    onClick=${clicked} onContextMenu=${(event) => event.preventDefault()}
  >${held ? "Listening: let go when you have spoken" : now === "speaking" ? "Hold to interrupt" : "Hold to talk"}</button>`;
}

export function Controls({live, muted, mute, detail, end}) {
  return html`<div class="row">
    <button aria-pressed=${muted} disabled=${!live} onClick=${mute}>${muted ? "Microphone is off" : "Mute"}</button>
    <button disabled=${!live} onClick=${() => detail(true)}>Tell me more</button>
    <button disabled=${!live} onClick=${() => detail(false)}>Tell me less</button>
    <button class="danger" onClick=${end}>End</button>
  </div>`;
}

export function Settings({settings, choose}) {
  const radio = (value, label) => html`<span>
    <input type="radio" id=${`mode-${value}`} name="mode" checked=${settings.mode === value} onChange=${() => choose({mode: value})} />
    <label class="beside" for=${`mode-${value}`}> ${label}</label>
  </span>`;
  const box = (name, label) => html`<span>
    <input type="checkbox" id=${name} checked=${settings[name]} onChange=${(event) => choose({[name]: event.target.checked})} />
    <label class="beside" for=${name}> ${label}</label>
  </span>`;
  return html`<details>
    <summary>Settings</summary>
    <fieldset class="row">
      <legend>The microphone is on</legend>
      ${radio("hold", "while the button is held")}${radio("wake", "all the time: say “Atlas”")}
    </fieldset>
    <div class="row">
      <label class="beside" for="language">Language</label>
      <select id="language" value=${settings.language} onChange=${(event) => choose({language: event.target.value})}>
        <option value="en">English</option>
        <option value="zh">中文</option>
      </select>
      ${box("headphones", "I wear headphones (no echo to cancel)")}
      ${box("quick", "fall silent at once when interrupted")}
    </div>
    <p class="quiet">Another language, or headphones, end the conversation: start again.</p>
  </details>`;
}

const NAMES = {you: "you", atlas: "Atlas", progress: "news", note: "", error: "trouble"};

export function Transcript({story, hint}) {
  const end = useRef(null), follows = useRef(true), top = useRef(0);
  useEffect(() => {
    const list = end.current;
    if (follows.current) list.scrollTop = list.scrollHeight;
  }, [story.number, story.hearing]);
  const scrolled = ({currentTarget: list}) => {
    // Who scrolls back reads; what is merely added moves nothing up.
    if (list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_PX) follows.current = true;
    else if (list.scrollTop < top.current) follows.current = false;
    top.current = list.scrollTop;
  };
  return html`<section class="card" aria-label="transcript">
    <h2>What is said</h2>
    <div class="transcript" ref=${end} onScroll=${scrolled} tabindex="0" role="log" aria-label="what is said">
      <ol>
        ${story.entries.map((entry) => html`<${Entry} key=${entry.id} entry=${entry} />`)}
      </ol>
      ${story.hearing ? html`<p class="quiet hearing"><span class="who">you</span> ${story.hearing}…</p>` : null}
    </div>
    ${story.entries.length ? null : html`<p class="quiet">Nothing yet: ${hint}</p>`}
  </section>`;
}

function Entry({entry}) {
  const {who, text, latency, cut, run, kind} = entry;
  return html`<li class=${`${who} ${kind ?? ""}`}>
    <span class="who">${NAMES[who]}</span> <span class="text">${text}</span>${
      cut ? html` <span class="cut">– interrupted</span>` : null
    }${latency === undefined ? null : html` <span class="quiet latency">answered after ${latency.toFixed(2)} s</span>`}${
      run ? html` <a href=${`/#/runs/${run}`}>its run</a>` : null
    }
  </li>`;
}
