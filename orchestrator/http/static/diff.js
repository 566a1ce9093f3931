// A patch, line by line.
import {html} from "./html.js";

const SHOWN = 5000;

const kind = (line) =>
  line.startsWith("+++") || line.startsWith("---") || line.startsWith("diff ")
    ? "quiet"
    : {"+": "add", "-": "del", "@": "at"}[line[0]] ?? "";

export function Diff({text}) {
  const lines = text.split("\n");
  const left = lines.length - SHOWN;
  return html`<pre class="diff" tabindex="0">${lines.slice(0, SHOWN).map((line) => html`<span class=${kind(line)}>${`${line}\n`}</span>`)}${
    left > 0 ? `… ${left.toLocaleString()} more lines: atlas diff shows all` : ""
  }</pre>`;
}
