// How loud the microphone is, as it is heard now.
import {html, useEffect, useRef} from "/static/html.js";

const SILENT_DB = -60;

export function Meter({ears}) {
  const meter = useRef(null);
  useEffect(() => {
    if (!ears) return undefined;
    let frame = 0;
    const show = () => {
      if (meter.current) meter.current.value = Math.max(0, 1 - ears.level() / SILENT_DB);
      frame = requestAnimationFrame(show);
    };
    show();
    return () => cancelAnimationFrame(frame);
  }, [ears]);
  return html`<label class="level beside">microphone <meter ref=${meter} min="0" max="1" low="0.25" optimum="0.6" value="0"></meter></label>`;
}
