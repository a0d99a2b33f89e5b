/** The shell around the state machine: socket, media, video element and clock. */

import { advise, Cushion } from "./live-edge";
import { HAS_MEDIA_SOURCE, Media, refusal } from "./mse-source";
import { type Command, type PlayerEvent, PlayerMachine, type PlayerView } from "./player-state";
import { Mind } from "./policy-track";
import { openSocket, type StreamMessage } from "./socket";
import { TransportChoice } from "./transport";
import { openWebRtc } from "./webrtc";

const TICK_MS = 250;
/** What stands still sooner after a seek, or after the first picture, is its own doing. */
const SETTLED_MS = 1_000;

/** Where one stream is to be had, relative to the page. */
export interface StreamAddresses {
  socket: string;
  /** For an offer; null where nobody asked for WebRTC. */
  webRtc: string | null;
}

/** What only this viewer's player knows. */
export interface PlayerFigures {
  /**
   * Seconds from the policy's decision to the picture that it led to, on this screen; null where
   * none is known, and where worker and viewer have clocks of their own.
   */
  latency: number | null;
  /** Seconds between the newest picture received and the one on the screen; null without any. */
  behind: number | null;
  /** Pictures of this element since it was made: shown late or never. */
  dropped: number;
}

function chosen({ webRtc }: StreamAddresses): TransportChoice {
  return new TransportChoice(webRtc ? "webrtc" : "mse", () => performance.now());
}

/** Whether the page's host is the viewer's own machine, so that both have one clock. */
function sharesClock(host: string): boolean {
  return ["localhost", "127.0.0.1", "[::1]"].includes(host);
}

export class LivePlayer {
  /** What the policy thought, in step with the picture. */
  readonly mind = new Mind();
  readonly #machine = new PlayerMachine(() => performance.now(), Math.random);
  readonly #listeners = new Set<() => void>();
  readonly #video: HTMLVideoElement;
  readonly #still: HTMLCanvasElement;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #abort = new AbortController();
  #view: PlayerView = this.#machine.view;
  #addresses: StreamAddresses;
  #choice: TransportChoice;
  #epoch: number | null = null;
  #closeLink: (() => void) | null = null;
  #media: Media | null = null;
  #latency: number | null = null;
  #landed = false;
  #landedAt = 0;
  #seekedAt = 0;
  readonly #cushion = new Cushion(() => performance.now());

  /**
   * @param still keeps the last picture on screen while the video element changes its source
   */
  constructor(video: HTMLVideoElement, still: HTMLCanvasElement, addresses: StreamAddresses) {
    this.#video = video;
    this.#still = still;
    this.#addresses = addresses;
    this.#choice = chosen(addresses);
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    const { signal } = this.#abort;
    video.addEventListener("error", () => this.#videoFailed(), { signal });
    video.addEventListener("waiting", () => this.#ranOut(), { signal });
    video.addEventListener("playing", () => this.#handle({ type: "autoplay", allowed: true }), {
      signal,
    });
    this.#awaitPicture();
  }

  get view(): PlayerView {
    return this.#view;
  }

  /** Calls `listener` when `view` has changed; the function it returns ends that. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get figures(): PlayerFigures {
    const newest = this.#media?.buffered.at(-1)?.end;
    return {
      latency: this.#view.state === "live" && sharesClock(location.hostname) ? this.#latency : null,
      behind: newest === undefined || !this.#landed ? null : newest - this.#video.currentTime,
      dropped: this.#video.getVideoPlaybackQuality().droppedVideoFrames,
    };
  }

  /** Width of the picture over its height; 16:9 until there is one. */
  get aspect(): number {
    const { videoWidth, videoHeight } = this.#video;
    return videoWidth && videoHeight ? videoWidth / videoHeight : 16 / 9;
  }

  /** Where the stream is from now on; the old picture stays until the new one comes. */
  setAddresses(addresses: StreamAddresses): void {
    const { socket, webRtc } = this.#addresses;
    if (addresses.socket === socket && addresses.webRtc === webRtc) return;
    this.#addresses = addresses;
    this.#choice = chosen(addresses);
    this.#handle({ type: "moved" });
  }

  /** Whether somebody can see the player: nothing is downloaded otherwise. */
  setWatched(watched: boolean): void {
    this.#handle({ type: "watched", watched });
  }

  /** Starts playback from a click, where the browser refused to by itself. */
  play(): void {
    this.#video.play().then(
      () => this.#handle({ type: "autoplay", allowed: true }),
      (error: DOMException) => {
        // Every other refusal comes from a source that was replaced meanwhile.
        if (error.name === "NotAllowedError") this.#handle({ type: "autoplay", allowed: false });
      },
    );
  }

  close(): void {
    this.#abort.abort();
    clearInterval(this.#timer);
    this.#closeLink?.();
    this.#video.srcObject = null;
    this.#media?.close();
  }

  #handle(event: PlayerEvent): void {
    for (const command of this.#machine.handle(event)) this.#carryOut(command);
    const { state, reason } = this.#machine.view;
    if (state === this.#view.state && reason === this.#view.reason) return;
    this.#view = { state, reason };
    for (const listener of this.#listeners) listener();
  }

  #hear(message: StreamMessage): void {
    if (message.type === "state" || message.type === "epoch")
      this.#handle({ type: "message", message });
    else this.mind.hear(message);
  }

  #carryOut(command: Command): void {
    switch (command.do) {
      case "connect":
        this.mind.forget();
        this.#latency = null;
        this.#closeLink = this.#connect();
        break;
      case "disconnect":
        this.#closeLink?.();
        this.#closeLink = null;
        this.#dropTrack();
        break;
      case "rebuild":
        this.#epoch = command.epoch.epoch;
        this.#rebuild(command.epoch.mime);
        break;
      case "append":
        this.#media?.append(command.bytes);
        break;
      case "clear":
        this.#keepPicture();
        this.#media?.close();
        this.#media = null;
        this.mind.forget();
        break;
    }
  }

  #connect(): () => void {
    const { socket, webRtc } = this.#addresses;
    const transport = this.#choice.current;
    this.#video.dataset.transport = transport;
    if (transport === "webrtc" && webRtc) {
      return openWebRtc(webRtc, {
        opened: (stream) => this.#showTrack(stream),
        failed: (failure) => {
          this.#choice.failed(failure);
          this.#handle({ type: "switch" });
        },
        isShown: () => this.#video.srcObject !== null && this.#landed,
      });
    }
    // It takes as long to open as the connection does; where one is shown, its picture stays.
    if (!this.#media && HAS_MEDIA_SOURCE) this.#media = this.#prepare();
    return openSocket(socket, {
      opened: () => this.#handle({ type: "opened" }),
      closed: () => this.#handle({ type: "closed" }),
      message: (message) => this.#hear(message),
      bytes: (bytes) => this.#handle({ type: "bytes", bytes }),
    });
  }

  #showTrack(stream: MediaStream): void {
    this.#handle({ type: "opened" });
    this.#keepPicture();
    this.#media?.close();
    this.#media = null;
    this.#landed = false;
    this.#video.playbackRate = 1;
    this.#video.srcObject = stream;
    this.#handle({ type: "track" });
    this.play();
  }

  #dropTrack(): void {
    if (!this.#video.srcObject) return;
    this.#keepPicture();
    this.#video.srcObject = null;
  }

  /** A new media source for each encoder: nothing of the old size, codec or clock can linger. */
  #rebuild(mime: string): void {
    const prepared = this.#media?.begun === false ? this.#media : null;
    this.#keepPicture();
    if (!prepared) this.#media?.close();
    this.#media = null;
    this.#landed = false;
    const reason = refusal(mime);
    if (reason) {
      prepared?.close();
      this.#handle({ type: "unsupported", reason });
      return;
    }
    this.#media = prepared ?? this.#prepare();
    this.#media.begin(mime);
    this.play();
  }

  #prepare(): Media {
    return new Media(this.#video, {
      appended: () => this.#stayLive(),
      broken: (reason) => this.#handle({ type: "broken", reason }),
    });
  }

  #keepPicture(): void {
    const { videoWidth, videoHeight } = this.#video;
    if (!videoWidth || !this.#landed) return;
    this.#still.width = videoWidth;
    this.#still.height = videoHeight;
    this.#still.getContext("2d")?.drawImage(this.#video, 0, 0);
  }

  #tick(): void {
    this.#handle({ type: "tick" });
    if (this.#view.state === "live" && this.#choice.returns()) this.#handle({ type: "switch" });
    if (this.#closeLink) this.#stayLive();
  }

  #stayLive(): void {
    const media = this.#media;
    if (!media) return;
    const video = this.#video;
    const { seekTo, rate, trimBefore } = advise(media.buffered, {
      time: video.currentTime,
      rate: video.playbackRate,
      landed: this.#landed,
      sinceSeek: (performance.now() - this.#seekedAt) / 1000,
      target: this.#cushion.target,
    });
    if (seekTo !== null) {
      video.currentTime = seekTo;
      this.#seekedAt = performance.now();
    }
    if (rate !== video.playbackRate) video.playbackRate = rate;
    if (trimBefore !== null) media.trim(trimBefore);
  }

  /** A seek waits for its picture too, and so does a stream that has just begun. */
  #ranOut(): void {
    const since = performance.now() - Math.max(this.#seekedAt, this.#landedAt);
    if (this.#media && this.#landed && since > SETTLED_MS) this.#cushion.ranOut();
  }

  #awaitPicture(): void {
    const painted = (time: number) => {
      if (this.#abort.signal.aborted) return;
      if (!this.#landed) this.#landedAt = performance.now();
      this.#landed = true;
      this.#choice.worked();
      this.#handle({ type: "painted" });
      if (this.#epoch !== null) this.#showMind(this.#epoch, time);
    };
    if (!("requestVideoFrameCallback" in HTMLVideoElement.prototype)) {
      const { signal } = this.#abort;
      const shown = () => painted(this.#video.currentTime);
      this.#video.addEventListener("timeupdate", shown, { signal });
      return;
    }
    const next: VideoFrameRequestCallback = (_, { mediaTime }) => {
      painted(mediaTime);
      if (!this.#abort.signal.aborted) this.#video.requestVideoFrameCallback(next);
    };
    this.#video.requestVideoFrameCallback(next);
  }

  #showMind(epoch: number, time: number): void {
    const before = this.mind.view.thought;
    this.mind.show(epoch, time);
    const { thought } = this.mind.view;
    if (!thought || thought === before) return;
    this.#latency = Date.now() / 1000 - thought.decided_at - (time - thought.time);
  }

  #videoFailed(): void {
    if (this.#media) this.#handle({ type: "broken", reason: "The picture could not be decoded." });
  }
}
