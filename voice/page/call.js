// A call: this device's microphone to the server, its sound and messages back (WebRTC, RTVI). It comes back by itself
// when the connection is lost, under the same name, so that the server tells what was missed.
import {Problem, get, post} from "/static/api.js";

const RTVI = "rtvi-ai", VERSION = "2.2.0";
const GATHER_MS = 1000, PING_MS = 1000, LOST_MS = 4000, CONNECT_MS = 20000, LONGEST_WAIT_MS = 10000;
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// What the browser says when it gives no microphone, as people say it.
const REFUSALS = {
  NotAllowedError: ["The microphone was refused", "Allow it for this page, beside its address, and try again."],
  NotFoundError: ["There is no microphone", "Plug one in, and try again."],
  NotReadableError: ["The microphone is in use, or broken", "Close what else uses it, and try again."],
};

const NO_WAY = "It goes by UDP, straight to the server: see “Talking to it” in its documentation. It is tried again.";

// Whether it is no use to try again: a proxy's own errors, and what is only too much just now, are not the end.
const final = ({status}) => status === 501 || (status >= 400 && status < 500 && ![408, 429].includes(status));

export class Refused extends Error {
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

export async function microphone({echo}) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Refused("This page gets no microphone", "Browsers give it to pages over HTTPS, or of this very machine (localhost), only.");
  }
  const wanted = {echoCancellation: echo, noiseSuppression: echo, autoGainControl: true, channelCount: 1};
  try {
    return await navigator.mediaDevices.getUserMedia({audio: wanted});
  } catch (error) {
    const [message, hint] = REFUSALS[error.name] ?? ["The microphone can't be had", String(error.message || error.name)];
    throw new Refused(message, hint);
  }
}

// `told(kind, data)`: state (connecting, live, lost, over), message (RTVI), sound (a stream), trouble (an error).
export class Call {
  constructor(stream, wish, told) {
    this.stream = stream;
    this.wish = wish;
    this.told = told;
    this.over = this.wasLive = false;
    this.ended = new Promise((resolve) => (this.finish = resolve));
    this.peer = null;
    this.number = 0;
    this.asked = new Map();
  }

  // Until `end`, or the server says that it should not come back.
  async run() {
    for (let tries = 0; !this.over; ) {
      this.told("state", tries ? "lost" : "connecting");
      try {
        await this.connect();
        tries = 0;
        this.wasLive = true;
        this.told("state", "live");
        await this.lost;
      } catch (error) {
        if (this.over) break;
        if (final(error)) {
          this.told("trouble", error);
          break;
        }
        if (error.status === 429 || !(error instanceof Problem || this.wasLive)) this.told("trouble", error);
      }
      this.hangUp();
      tries += 1;
      if (!this.over) this.told("state", "lost");
      const pause = Math.min(LONGEST_WAIT_MS, 500 * 2 ** Math.min(tries, 6)) * (0.75 + Math.random() / 2);
      if (!this.over) await Promise.race([wait(pause), this.ended]);
    }
    this.hangUp();
    this.told("state", "over");
  }

  end() {
    this.over = true;
    this.finish();
    this.lose?.();
  }

  // What comes of it, unless the call is ended meanwhile.
  unlessEnded(promise) {
    const ended = this.ended.then(() => Promise.reject(new Error("the call was ended")));
    ended.catch(() => {});
    return Promise.race([promise, ended]);
  }

  hear(on) {
    for (const track of this.stream.getAudioTracks()) track.enabled = on;
  }

  // A client-message; resolves with its answer.
  ask(name, data) {
    return new Promise((resolve, reject) => {
      if (this.channel?.readyState !== "open") return reject(new Error("there is no connection"));
      const id = this.send("client-message", {t: name, d: data});
      return this.asked.set(id, {resolve, reject});
    });
  }

  send(type, data) {
    const id = String((this.number += 1));
    this.channel.send(JSON.stringify({label: RTVI, type, id, data}));
    return id;
  }

  async connect() {
    const {ice_servers: servers} = await this.unlessEnded(get("/voice/api/setup"));
    const peer = new RTCPeerConnection({iceServers: servers.map((urls) => ({urls}))});
    this.peer = peer;
    this.lost = new Promise((resolve) => (this.lose = resolve));
    for (const track of this.stream.getAudioTracks()) peer.addTransceiver(track, {direction: "sendrecv", streams: [this.stream]});
    peer.ontrack = (event) => this.told("sound", event.streams[0] ?? new MediaStream([event.track]));
    peer.onconnectionstatechange = () => this.watch(peer);
    const channel = peer.createDataChannel("chat", {ordered: true});
    this.channel = channel;
    const open = new Promise((resolve) => (channel.onopen = resolve));
    channel.onclose = () => this.lose();
    const ready = new Promise((resolve) => {
      channel.onmessage = (event) => this.take(event.data, resolve);
    });
    await this.unlessEnded(this.offer(peer));
    await this.within(open, new Refused("There is no way for sound to the server", NO_WAY));
    this.pinging = setInterval(() => channel.readyState === "open" && channel.send("ping"), PING_MS);
    channel.send("ping");
    this.send("client-ready", {version: VERSION, about: {library: "atlas"}});
    await this.within(ready);
  }

  async offer(peer) {
    const late = [];
    let id = null;
    peer.onicecandidate = ({candidate}) => {
      if (!candidate?.candidate) return;
      const one = {candidate: candidate.candidate, sdp_mid: candidate.sdpMid, sdp_mline_index: candidate.sdpMLineIndex};
      if (id) patch({pc_id: id, candidates: [one]});
      else late.push(one);
    };
    const gathered = new Promise((resolve) => {
      peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && resolve();
    });
    await peer.setLocalDescription();
    await Promise.race([gathered, wait(GATHER_MS)]);
    late.length = 0; // what was found so far is in the offer
    const {sdp} = peer.localDescription;
    const answer = await post("/voice/api/offer", {sdp, type: "offer", request_data: this.wish});
    await peer.setRemoteDescription({sdp: answer.sdp, type: answer.type});
    id = answer.pc_id;
    if (late.length) patch({pc_id: id, candidates: late});
  }

  async within(promise, trouble = new Error("the connection was lost")) {
    const lost = this.lost.then(() => Promise.reject(trouble));
    const late = wait(CONNECT_MS).then(() => Promise.reject(trouble));
    late.catch(() => {});
    lost.catch(() => {});
    return this.unlessEnded(Promise.race([promise, lost, late]));
  }

  watch(peer) {
    if (peer !== this.peer) return;
    clearTimeout(this.losing);
    if (["failed", "closed"].includes(peer.connectionState)) this.lose();
    if (peer.connectionState === "disconnected") this.losing = setTimeout(() => peer === this.peer && this.lose(), LOST_MS);
  }

  take(text, ready) {
    const message = JSON.parse(text);
    if (message.label !== RTVI) {
      if (message.message?.type === "peerLeft") this.lose();
      return;
    }
    if (message.type === "bot-ready") ready();
    const asked = this.asked.get(message.id);
    if (asked) {
      this.asked.delete(message.id);
      if (message.type === "error-response") asked.reject(new Error(message.data.error));
      else asked.resolve(message.data.d);
    }
    if (message.type === "server-message" && message.data.event === "bye" && !message.data.again) this.over = true;
    this.told("message", message);
  }

  hangUp() {
    clearInterval(this.pinging);
    clearTimeout(this.losing);
    const {peer} = this;
    this.peer = this.channel = null;
    for (const {reject} of this.asked.values()) reject(new Error("the connection was lost"));
    this.asked.clear();
    peer?.close();
  }
}

const patch = (body) =>
  fetch("/voice/api/offer", {method: "PATCH", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)}).catch(() => {});
