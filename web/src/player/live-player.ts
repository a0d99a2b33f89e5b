/** Browser shell of the player: drives sockets, media and the video element for its state machine. */

import { correctPlayhead, TargetLatency } from "./live-edge";
import { MSE_SUPPORTED, MseSource, unsupportedReason } from "./mse-source";
import {
  type Command,
  type PlayerEvent,
  PlayerStateMachine,
  type PlayerStatus,
} from "./player-state";
import { PolicyTrack } from "./policy-track";
import { openSocket, type StreamMessage, type StreamSocket } from "./socket";
import { TransportSelector } from "./transport";
import { watchFrames } from "./video-frames";
import { openWebRtc } from "./webrtc";

const TICK_MS = 250;
/** A `waiting` event this soon after a seek or the first frame is no stall. */
const SETTLE_MS = 1_000;

/** URLs of one stream, relative to the page. */
export interface StreamUrls {
  socket: string;
  /** WHEP endpoint; null unless WebRTC is preferred. */
  whep: string | null;
  /** The worker has video to show, as far as is known. */
  hasVideo: boolean;
}

/** Measurements that only this viewer's player can make. */
export interface PlayerStats {
  /**
   * Seconds from the policy's step to the frame on screen; null if unknown or if the worker's clock
   * is not the viewer's.
   */
  latency: number | null;
  /** Seconds from the frame on screen to the newest one received; null without video. */
  behindLive: number | null;
  /** Frames this video element showed late or never. */
  droppedFrames: number;
}

function selectorFor({ whep }: StreamUrls): TransportSelector {
  return new TransportSelector(whep ? "webrtc" : "mse", () => performance.now());
}

/** Return whether the page's host is the viewer's own machine, and so has the same clock. */
function sharesClock(host: string): boolean {
  return ["localhost", "127.0.0.1", "[::1]"].includes(host);
}

/** Plays one stream, in elements of its own: it may begin before there is a place for them. */
export class LivePlayer {
  readonly policyTrack = new PolicyTrack();
  readonly #machine = new PlayerStateMachine(() => performance.now(), Math.random);
  readonly #listeners = new Set<() => void>();
  readonly #video = document.createElement("video");
  /** Keeps the last frame on screen while the video element changes its source. */
  readonly #lastFrame = document.createElement("canvas");
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #abort = new AbortController();
  readonly #targetLatency = new TargetLatency(() => performance.now());
  #status: PlayerStatus = this.#machine.status;
  #urls: StreamUrls;
  #transport: TransportSelector;
  #epoch: number | null = null;
  #closeConnection: (() => void) | null = null;
  #socket: StreamSocket | null = null;
  #stillWidth: number | null = null;
  #still: string | null = null;
  #source: MseSource | null = null;
  #latency: number | null = null;
  /** True once a frame of the current source was painted. */
  #started = false;
  #startedAt = 0;
  #soughtAt = 0;

  constructor(urls: StreamUrls) {
    this.#urls = urls;
    this.#transport = selectorFor(urls);
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    const video = this.#video;
    video.muted = true;
    video.autoplay = true;
    video.playsInline = true;
    const { signal } = this.#abort;
    video.addEventListener("error", () => this.#onVideoError(), { signal });
    video.addEventListener("waiting", () => this.#onWaiting(), { signal });
    video.addEventListener("playing", () => this.#handle({ type: "autoplay", allowed: true }), {
      signal,
    });
    this.#watchFrames();
  }

  /** Put the picture into an element, behind all that is in it. */
  mount(parent: Element): void {
    parent.prepend(this.#lastFrame, this.#video);
  }

  /** Set what screen readers call the video. */
  setLabel(label: string): void {
    this.#video.setAttribute("aria-label", label);
  }

  get status(): PlayerStatus {
    return this.#status;
  }

  /**
   * Newest picture of a worker without video, as a URL; null before the first, and once there is
   * video. After a lost connection the last one stays.
   */
  get still(): string | null {
    return this.#still;
  }

  /** Call `listener` whenever `status` or `still` changes; returns the unsubscribe function. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get stats(): PlayerStats {
    const newest = this.#source?.buffered.at(-1)?.end;
    const latencyKnown = this.#status.state === "live" && sharesClock(location.hostname);
    return {
      latency: latencyKnown ? this.#latency : null,
      behindLive: newest === undefined || !this.#started ? null : newest - this.#video.currentTime,
      droppedFrames: this.#video.getVideoPlaybackQuality().droppedVideoFrames,
    };
  }

  /** Aspect ratio of the video; 16:9 until there is one. */
  get aspectRatio(): number {
    const { videoWidth, videoHeight } = this.#video;
    return videoWidth && videoHeight ? videoWidth / videoHeight : 16 / 9;
  }

  /** Move to another URL; the last frame stays until the new stream paints. */
  setUrls(urls: StreamUrls): void {
    const { socket, whep } = this.#urls;
    this.#urls = urls;
    if (urls.socket === socket && urls.whep === whep) return;
    this.#transport = selectorFor(urls);
    this.#handle({ type: "url-changed" });
  }

  /** Report whether the player can be seen; nothing is downloaded while it can't. */
  setVisible(visible: boolean): void {
    this.#handle({ type: "visibility", visible });
  }

  /** Set how wide stills should be, pixels; null: none are shown. */
  setStillWidth(width: number | null): void {
    this.#stillWidth = width;
    this.#requestStills();
  }

  /** Start playback; called from a click where the browser blocks autoplay. */
  play(): void {
    this.#video.play().then(
      () => this.#handle({ type: "autoplay", allowed: true }),
      (error: DOMException) => {
        // Any other rejection means that the source was replaced meanwhile.
        if (error.name === "NotAllowedError") this.#handle({ type: "autoplay", allowed: false });
      },
    );
  }

  close(): void {
    this.#abort.abort();
    clearInterval(this.#timer);
    this.#closeConnection?.();
    this.#video.srcObject = null;
    this.#source?.close();
    this.#video.remove();
    this.#lastFrame.remove();
  }

  #handle(event: PlayerEvent): void {
    for (const command of this.#machine.handle(event)) this.#execute(command);
    const { state, reason } = this.#machine.status;
    if (state === this.#status.state && reason === this.#status.reason) return;
    this.#status = { state, reason };
    if (state === "live") this.#still = null;
    this.#notify();
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  #requestStills(): void {
    this.#socket?.requestStills({ type: "stills", max_width: this.#stillWidth });
  }

  #showStill(jpeg: string): void {
    // One that was on its way when video came, or when none was to be shown any more.
    if (this.#status.state === "live" || this.#stillWidth === null) return;
    this.#still = `data:image/jpeg;base64,${jpeg}`;
    this.#notify();
  }

  #onMessage(message: StreamMessage): void {
    if (message.type === "state" || message.type === "epoch")
      this.#handle({ type: "message", message });
    else if (message.type === "still") this.#showStill(message.jpeg);
    else this.policyTrack.push(message);
  }

  #execute(command: Command): void {
    switch (command.type) {
      case "connect":
        this.policyTrack.reset();
        this.#latency = null;
        this.#closeConnection = this.#connect();
        break;
      case "disconnect":
        this.#closeConnection?.();
        this.#closeConnection = null;
        this.#detachTrack();
        break;
      case "start-epoch":
        this.#epoch = command.epoch.epoch;
        this.#startEpoch(command.epoch.mime);
        break;
      case "append":
        this.#source?.append(command.bytes);
        break;
      case "clear":
        this.#keepLastFrame();
        this.#closeSource();
        this.policyTrack.reset();
        break;
    }
  }

  #connect(): () => void {
    const { socket, whep, hasVideo } = this.#urls;
    const transport = this.#transport.current;
    this.#video.dataset.transport = transport;
    if (transport === "webrtc" && whep) {
      return openWebRtc(whep, {
        opened: (stream) => this.#attachTrack(stream),
        failed: (failure) => {
          this.#transport.failed(failure);
          this.#handle({ type: "transport-changed" });
        },
        hasFrame: () => this.#video.srcObject !== null && this.#started,
      });
    }
    // A media source takes as long to open as the connection. One that still shows a frame stays.
    // Each takes a decoder, of which browsers have some 75.
    if (!this.#source && hasVideo && MSE_SUPPORTED) this.#source = this.#createSource();
    const opened = openSocket(socket, {
      opened: () => this.#handle({ type: "opened" }),
      closed: () => this.#handle({ type: "closed" }),
      message: (message) => this.#onMessage(message),
      bytes: (bytes) => this.#handle({ type: "bytes", bytes }),
    });
    this.#socket = opened;
    this.#requestStills();
    return () => {
      this.#socket = null;
      opened.close();
    };
  }

  #attachTrack(stream: MediaStream): void {
    this.#handle({ type: "opened" });
    this.#keepLastFrame();
    this.#closeSource();
    this.#started = false;
    this.#video.playbackRate = 1;
    this.#video.srcObject = stream;
    this.#handle({ type: "track" });
    this.play();
  }

  #detachTrack(): void {
    if (!this.#video.srcObject) return;
    this.#keepLastFrame();
    this.#video.srcObject = null;
  }

  /** Give each epoch a new media source, free of the previous size, codec and clock. */
  #startEpoch(mime: string): void {
    const unused = this.#source?.started === false ? this.#source : null;
    this.#keepLastFrame();
    if (!unused) this.#source?.close();
    this.#source = null;
    this.#started = false;
    const reason = unsupportedReason(mime);
    if (reason) {
      unused?.close();
      this.#handle({ type: "unsupported", reason });
      return;
    }
    this.#source = unused ?? this.#createSource();
    this.#source.start(mime);
    this.play();
  }

  #createSource(): MseSource {
    return new MseSource(this.#video, {
      appended: () => this.#followLiveEdge(),
      failed: (reason) => this.#handle({ type: "media-error", reason }),
    });
  }

  #closeSource(): void {
    this.#source?.close();
    this.#source = null;
  }

  #keepLastFrame(): void {
    const { videoWidth, videoHeight } = this.#video;
    if (!videoWidth || !this.#started) return;
    this.#lastFrame.width = videoWidth;
    this.#lastFrame.height = videoHeight;
    this.#lastFrame.getContext("2d")?.drawImage(this.#video, 0, 0);
  }

  #tick(): void {
    this.#handle({ type: "tick" });
    if (this.#status.state === "live" && this.#transport.retry())
      this.#handle({ type: "transport-changed" });
    if (this.#closeConnection) this.#followLiveEdge();
  }

  #followLiveEdge(): void {
    const source = this.#source;
    if (!source) return;
    const video = this.#video;
    const { seekTo, rate, trimBefore } = correctPlayhead(source.buffered, {
      time: video.currentTime,
      rate: video.playbackRate,
      started: this.#started,
      sinceSeek: (performance.now() - this.#soughtAt) / 1000,
      target: this.#targetLatency.seconds,
    });
    if (seekTo !== null) {
      video.currentTime = seekTo;
      this.#soughtAt = performance.now();
    }
    if (rate !== video.playbackRate) video.playbackRate = rate;
    if (trimBefore !== null) source.trim(trimBefore);
  }

  #onWaiting(): void {
    const settledFor = performance.now() - Math.max(this.#soughtAt, this.#startedAt);
    if (this.#source && this.#started && settledFor > SETTLE_MS) this.#targetLatency.stalled();
  }

  #watchFrames(): void {
    watchFrames(this.#video, this.#abort.signal, (time) => {
      if (!this.#started) this.#startedAt = performance.now();
      this.#started = true;
      this.#transport.succeeded();
      this.#handle({ type: "frame" });
      if (this.#epoch !== null) this.#seekPolicyTrack(this.#epoch, time);
    });
  }

  #seekPolicyTrack(epoch: number, time: number): void {
    const previous = this.policyTrack.view.thought;
    this.policyTrack.seek(epoch, time);
    const { thought } = this.policyTrack.view;
    if (!thought || thought === previous) return;
    this.#latency = Date.now() / 1000 - thought.decided_at - (time - thought.time);
  }

  #onVideoError(): void {
    if (this.#source)
      this.#handle({ type: "media-error", reason: "The browser could not decode the video." });
  }
}
