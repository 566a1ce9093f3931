// What is known of a conversation, made of the messages that come. No browser in here.

const KEPT = 200, AWAKE_MS = 8000, THINKING_MS = 30000;
const add = (story, entry) => ({
  ...story,
  number: story.number + 1,
  entries: [...story.entries, {id: story.number, ...entry}].slice(-KEPT),
});
const change = (story, who, changed) => {
  const at = story.entries.findLastIndex((entry) => entry.who === who);
  return at < 0 ? story : {...story, entries: story.entries.map((entry, n) => (n === at ? {...entry, ...changed} : entry))};
};

// One trouble is told as what happened and as an error of the call, in either order.
const troubled = (story, text) =>
  story.entries.slice(-3).some((entry) => entry.who === "error" && entry.text === text) ? story : add(story, {who: "error", text});

const noted = (story, text) => (story.entries.at(-1)?.text === text ? story : add(story, {who: "note", text}));

// `now`: asleep (waits for its name), awake, hearing (somebody speaks), thinking, speaking.
export const beginning = {entries: [], number: 0, now: "asleep", until: 0, hearing: "", speaking: false, listens: false, hello: null};

const SILENT = new Set(["Quiet", "Backchannel"]); // what nothing is said to

const FAINT = 0.1; // what was heard so unsurely was something else

const EVENTS = {
  hello: (story, data) => ({...story, hello: data, now: "asleep", speaking: false, hearing: ""}),
  wake: (story, data, time) => ({...noted(story, data.by === "button" ? "talk button" : "heard its name"), now: "awake", until: time + AWAKE_MS}),
  "turn-started": (story) => ({...story, now: "hearing"}),
  hearing: (story, data) => ({...story, hearing: data.text}),
  turn: (story, data, time) => ({
    ...(data.text ? add(story, {who: "you", text: data.confidence < FAINT ? "(not understood)" : data.text}) : story),
    hearing: "", now: data.text ? "thinking" : "awake", until: time + (data.text ? THINKING_MS : AWAKE_MS),
  }),
  intent: (story, data, time) => (SILENT.has(data.intent) ? {...story, now: "awake", until: time + AWAKE_MS} : story),
  backchannel: (story, data) => ({...add(story, {who: "note", text: `“${data.text}” did not interrupt`}), hearing: ""}),
  "onset-over": (story, data) => (data.confirmed ? story : {...story, hearing: ""}),
  saying: (story, data) => add(story, {who: "atlas", text: data.text, kind: data.kind}),
  "speech-started": (story, data) => ({
    ...(data.latency === undefined ? story : change(story, "you", {latency: data.latency})),
    // news are told to whoever is there: who has not just talked is not listened to after them
    speaking: true, now: "speaking", listens: data.latency !== undefined || (story.now === "speaking" ? story.listens : story.now !== "asleep"),
  }),
  "speech-stopped": (story, data, time) => ({...story, speaking: false, now: story.listens ? "awake" : "asleep", until: time + AWAKE_MS}),
  interrupted: (story) => (story.speaking ? {...change(story, "atlas", {cut: true}), speaking: false} : story),
  progress: (story, data) => add(story, {who: "progress", text: data.text, kind: data.kind, run: data.run}),
  error: (story, data) => troubled(story, data.text),
  bye: (story, data) => add(story, {who: "error", text: data.why}),
};

export const told = (story, data, time) => EVENTS[data.event]?.(story, data, time) ?? story;
export const passed = (story, time) => (["awake", "thinking"].includes(story.now) && time > story.until ? {...story, now: "asleep"} : story);
