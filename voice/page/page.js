// The page for talking: who is logged in, the call, what is said.
import {get, post, whenLoggedOut} from "/static/api.js";
import {Trouble, unfocused} from "/static/bits.js";
import {Login, Theme, known, linked, wear} from "/static/frame.js";
import {html, render, useEffect, useRef, useState} from "/static/html.js";
import {Call, microphone} from "./call.js";
import {Ducking} from "./ducking.js";
import {Ears} from "./ears.js";
import {Meter} from "./meter.js";
import {beginning, passed, told} from "./story.js";
import {Controls, Settings, TalkButton, Transcript, remembered} from "./parts.js";

const STATES = {
  idle: "not connected", asking: "waits for the browser's permission…", connecting: "connecting…", live: "connected", lost: "connection lost, trying again…", over: "not connected",
};
const NOW = {
  asleep: "waits for “Atlas”, or the talk button", awake: "listens", hearing: "hears you", thinking: "thinks", speaking: "speaks",
};
const QUICK_MS = 200; // of sound that is on its way when somebody interrupts

// What goes on, for the state's line: who does not hear says so.
function standing({now}, {mode}, muted, held) {
  if (now === "speaking" || now === "thinking") return NOW[now];
  if (muted) return "the microphone is off";
  return mode === "hold" && !held ? "hold the button to talk" : NOW[now];
}

// The same for this tab as long as it is there: the server tells what was missed.
function conversation() {
  const made = crypto.randomUUID?.() ?? String(Math.random()).replace("0.", "tab-");
  try {
    const kept = sessionStorage.getItem("conversation") ?? made;
    sessionStorage.setItem("conversation", kept);
    return kept;
  } catch {
    return made;
  }
}

function Talk({who}) {
  const [settings, set] = remembered();
  const [state, setState] = useState("idle");
  const [story, setStory] = useState(beginning);
  const [trouble, setTrouble] = useState(null);
  const [stream, setStream] = useState(null);
  const [ears, setEars] = useState(null);
  const [held, setHeld] = useState(false);
  const [muted, setMuted] = useState(false);
  const call = useRef(null), sound = useRef(null), now = useRef({}), speaking = useRef(false), quiet = useRef(0), ducking = useRef(null), card = useRef(null);
  now.current = {settings, held, muted};

  useEffect(() => {
    get("/voice/api/setup").catch(setTrouble); // the server makes ready meanwhile
    const timer = setInterval(() => setStory((before) => passed(before, Date.now())), 500);
    return () => (clearInterval(timer), clearTimeout(quiet.current), call.current?.end());
  }, []);
  useEffect(() => void (unfocused() && state !== "idle" && card.current.querySelector("button.main")?.focus()), [state]);
  useEffect(() => call.current?.hear(!muted && (settings.mode === "wake" || held)), [muted, held, settings.mode, stream, state]);

  useEffect(() => {
    if (!stream) return undefined;
    const heard = new Ears(stream);
    const made = new Ducking(heard, (part) => sound.current && (sound.current.volume = part));
    ducking.current = made;
    setEars(heard);
    return () => {
      made.end();
      heard.close();
      setEars(null);
    };
  }, [stream]);

  const silence = (on) => {
    clearTimeout(quiet.current);
    if (on) quiet.current = setTimeout(() => silence(false), QUICK_MS);
    for (const track of sound.current.srcObject?.getAudioTracks() ?? []) track.enabled = !on;
  };
  const takes = {
    state: (found) => {
      setState(found);
      if (found === "live") setTrouble(null);
      else setHeld(false);
    },
    trouble: setTrouble,
    sound: (found) => {
      sound.current.srcObject = found;
      sound.current.play().catch((error) => {
        if (error.name !== "NotAllowedError") return;
        setTrouble(new Error("This browser plays no sound yet: press anywhere on the page."));
        document.addEventListener("pointerdown", () => sound.current?.play().then(() => setTrouble(null), () => {}), {once: true});
      });
    },
    message: ({type, data}) => {
      ducking.current?.take(type, data?.event, performance.now());
      if (type === "bot-interrupted" && speaking.current && now.current.settings.quick) silence(true);
      if (type === "bot-started-speaking") silence(false);
      if (type === "bot-started-speaking" || type === "bot-stopped-speaking") speaking.current = type === "bot-started-speaking";
      if (type === "server-message") setStory((before) => told(before, data, Date.now()));
      if (type === "error") setStory((before) => told(before, {event: "error", text: data.error}, Date.now()));
    },
  };
  const start = async () => {
    setTrouble(null);
    setHeld(false);
    setState("asking");
    try {
      const heard = await microphone({echo: !settings.headphones});
      heard.getAudioTracks()[0].onended = () => {
        setTrouble(new Error("The microphone was taken away. Start again when it is back."));
        call.current?.end();
      };
      setState("connecting");
      const wish = {conversation: conversation(), language: settings.language};
      const made = new Call(heard, wish, (kind, given) => call.current === made && takes[kind](given));
      call.current = made;
      setStream(heard);
      made.run().finally(() => {
        for (const track of heard.getTracks()) track.stop();
        if (call.current === made) setStream(null);
      });
    } catch (error) {
      setTrouble(error);
      setState("idle");
    }
  };
  const ask = (name, data) => call.current?.ask(name, data).catch((error) => setTrouble(error));
  const hold = (pressed) => {
    setHeld(pressed);
    call.current?.ask("talk", {pressed}).catch((error) => pressed && setTrouble(error));
  };
  const mute = () => {
    setMuted(!muted);
    ask("mute", {muted: !muted});
  };
  const choose = (changed) => {
    set(changed);
    if (stream && ("language" in changed || "headphones" in changed)) {
      call.current.end();
      setState("over");
    }
  };
  const live = state === "live", open = stream !== null && state !== "over";
  return html`
    <section class="card voice" ref=${card}>
      <div class="row spread">
        <h1>Talk</h1>
        <span class=${`live ${live ? "on" : state === "lost" ? "off" : ""}`} role="status">${STATES[state]}${live ? html`, <span class="now">${standing(story, settings, muted, held)}</span>` : null}</span>
      </div>
      <${Trouble} error=${trouble} close=${() => setTrouble(null)} />
      ${who.scope === "read" ? html`<p class="quiet">Your token may only look: ask what you like, nothing will be changed.</p>` : null}
      ${open
        ? html`<${TalkButton} held=${held} live=${live && !muted} hold=${hold} now=${story.now} />
            <${Meter} ears=${ears} />
            <${Controls} live=${live} muted=${muted} mute=${mute} detail=${(more) => ask("detail", {more})} end=${() => call.current.end()} />`
        : html`<button class="main start" onClick=${start} disabled=${state === "connecting" || state === "asking"}>Start talking</button>`}
      <${Settings} settings=${settings} choose=${choose} />
      <audio ref=${sound} autoplay aria-hidden="true"></audio>
    </section>
    <${Transcript} story=${story} hint=${settings.mode === "hold" ? "hold the button and say “what is the status?”" : "say “Atlas, what is the status?”"} />
  `;
}

function App() {
  const [who, setWho] = useState(undefined);
  const [refused, setRefused] = useState(null);
  useEffect(() => {
    whenLoggedOut(() => setWho(null));
    const enter = async () => {
      const token = linked("/voice");
      if (token) await post("/api/session", {token}).then(setWho, setRefused);
    };
    addEventListener("hashchange", enter);
    enter().then(known).then((found) => setWho((before) => before ?? found));
    return () => removeEventListener("hashchange", enter);
  }, []);
  if (who === undefined) return null;
  if (who === null) return html`<${Login} done=${setWho} refused=${refused} />`;
  return html`
    <header class="bar">
      <a class="home" href="/"><img src="/static/icon.svg" alt="" /> Atlas</a>
      <span class="space"></span>
      <${Theme} />
      <span class="quiet" title=${`may ${who.scope}`}>${who.name}${who.scope === "read" ? " (read only)" : ""}</span>
    </header>
    <main class="talk-page"><${Talk} key=${`${who.name} ${who.scope}`} who=${who} /></main>
  `;
}

wear();
render(html`<${App} />`, document.getElementById("app"));
