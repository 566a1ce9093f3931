// The microphone, as this page hears it.
const WINDOW = 512; // samples: about 10 ms

export class Ears {
  constructor(stream) {
    this.context = new AudioContext();
    this.analyser = new AnalyserNode(this.context, {fftSize: WINDOW});
    this.context.createMediaStreamSource(stream).connect(this.analyser);
    this.samples = new Float32Array(WINDOW);
  }

  // How loud it is now, in dB of the loudest there is; -90 for nothing.
  level() {
    this.analyser.getFloatTimeDomainData(this.samples);
    const power = this.samples.reduce((sum, each) => sum + each * each, 0) / WINDOW;
    return 10 * Math.log10(power + 1e-9);
  }

  close() {
    this.context.close();
  }
}
