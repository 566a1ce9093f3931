// What is known of a conversation, made of the messages that come. No browser in here.

const KEPT = 200, AWAKE_MS = 8000;
const add = (story, entry) => ({
  ...story,
  number: story.number + 1,
  entries: [...story.entries, {id: story.number, ...entry}].slice(-KEPT),
});
const change = (story, who, changed) => {
  const at = story.entries.findLastIndex((entry) => entry.who === who);
  return at < 0 ? story : {...story, entries: story.entries.map((entry, n) => (n === at ? {...entry, ...changed} : entry))};
};

const noted = (story, text) => (story.entries.at(-1)?.text === text ? story : add(story, {who: "note", text}));

// `now`: asleep (waits for its name), awake, hearing (somebody speaks), thinking, speaking.
export const beginning = {entries: [], number: 0, now: "asleep", until: 0, hearing: "", speaking: false, hello: null};

const FAINT = 0.1; // what was heard so unsurely was something else

const EVENTS = {
  hello: (story, data) => ({...story, hello: data, now: "asleep", speaking: false, hearing: ""}),
  wake: (story, data, time) => ({...noted(story, data.by === "button" ? "talk button" : "heard its name"), now: "awake", until: time + AWAKE_MS}),
  "turn-started": (story) => ({...story, now: "hearing"}),
  hearing: (story, data) => ({...story, hearing: data.text}),
  turn: (story, data) => ({
    ...(data.text ? add(story, {who: "you", text: data.confidence < FAINT ? "(not understood)" : data.text}) : story),
    hearing: "", now: data.text ? "thinking" : "awake",
  }),
  backchannel: (story, data) => add(story, {who: "note", text: `“${data.text}” did not interrupt`}),
  saying: (story, data) => add(story, {who: "atlas", text: data.text, kind: data.kind}),
  "speech-started": (story, data) => ({
    ...(data.latency === undefined ? story : change(story, "you", {latency: data.latency})),
    speaking: true, now: "speaking",
  }),
  "speech-stopped": (story, data, time) => ({...story, speaking: false, now: "awake", until: time + AWAKE_MS}),
  interrupted: (story) => (story.speaking ? {...change(story, "atlas", {cut: true}), speaking: false} : story),
  progress: (story, data) => add(story, {who: "progress", text: data.text, kind: data.kind, run: data.run}),
  error: (story, data) => add(story, {who: "error", text: data.text}),
  bye: (story, data) => add(story, {who: "error", text: data.why}),
};

export const told = (story, data, time) => EVENTS[data.event]?.(story, data, time) ?? story;
export const passed = (story, time) => (story.now === "awake" && time > story.until ? {...story, now: "asleep"} : story);
