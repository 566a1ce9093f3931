// How loud the microphone is, as it is heard now.
import {html, useEffect, useRef} from "/static/html.js";

const SILENT_DB = -60;

export function Meter({stream}) {
  const meter = useRef(null);
  useEffect(() => {
    if (!stream) return undefined;
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 1024;
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let frame = 0;
    const show = () => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, each) => sum + each * each, 0) / samples.length;
      const level = Math.max(0, 1 - (10 * Math.log10(power + 1e-9)) / SILENT_DB);
      if (meter.current) meter.current.value = level;
      frame = requestAnimationFrame(show);
    };
    show();
    return () => {
      cancelAnimationFrame(frame);
      context.close();
    };
  }, [stream]);
  return html`<label class="level beside">microphone <meter ref=${meter} min="0" max="1" low="0.25" optimum="0.6" value="0"></meter></label>`;
}
