import { expect, test, vi } from "vitest";
import { RETURN_AFTER, TRIES, TransportChoice, wishedTransport } from "./transport";

function choice(wish: "webrtc" | "mse"): { choice: TransportChoice; wait: (ms: number) => void } {
  let time = 10_000;
  const wait = (ms: number) => {
    time += ms;
  };
  return { choice: new TransportChoice(wish, () => time), wait };
}

function withCodecs(...codecs: { mimeType: string; sdpFmtpLine?: string }[]): void {
  vi.stubGlobal("RTCPeerConnection", class {});
  vi.stubGlobal("RTCRtpReceiver", { getCapabilities: () => ({ codecs }) });
}

const BASELINE = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";

test("the page's address decides, whatever else is the case", () => {
  withCodecs({ mimeType: "video/H264", sdpFmtpLine: BASELINE });
  expect(wishedTransport("?worker=omega-0&transport=webrtc", false)).toBe("webrtc");
  expect(wishedTransport("?transport=mse", true)).toBe("mse");
});

test("a picture that is watched alone comes over WebRTC by itself", () => {
  withCodecs({ mimeType: "video/VP8" }, { mimeType: "video/H264", sdpFmtpLine: BASELINE });
  expect(wishedTransport("?worker=omega-0", true)).toBe("webrtc");
  expect(wishedTransport("?worker=omega-0", false)).toBe("mse");
  expect(wishedTransport("?transport=carrier-pigeon", false)).toBe("mse");
});

test("but not in a browser that doesn't take these streams that way", () => {
  withCodecs(
    { mimeType: "video/VP8" },
    { mimeType: "video/H264", sdpFmtpLine: "packetization-mode=0;profile-level-id=42e01f" },
    { mimeType: "video/H264", sdpFmtpLine: "packetization-mode=1;profile-level-id=640c1f" },
  );
  expect(wishedTransport("", true)).toBe("mse");
  vi.unstubAllGlobals();
  expect(wishedTransport("", true)).toBe("mse");
});

test("a worker without a picture is watched the other way until it is live", () => {
  const { choice: chosen, wait } = choice("webrtc");
  expect(chosen.current).toBe("webrtc");
  for (let i = 0; i < 5; i++) {
    chosen.failed("no-stream");
    expect(chosen.current).toBe("mse");
    expect(chosen.returns()).toBe(false);
    wait(RETURN_AFTER);
    expect(chosen.returns()).toBe(true);
    expect(chosen.current).toBe("webrtc");
  }
});

test("a way that doesn't work is given up", () => {
  const { choice: chosen, wait } = choice("webrtc");
  for (let i = 0; i < TRIES; i++) {
    chosen.failed("no-way");
    wait(RETURN_AFTER);
    expect(chosen.returns()).toBe(i < TRIES - 1);
  }
  expect(chosen.current).toBe("mse");
});

test("failures count only in a row", () => {
  const { choice: chosen, wait } = choice("webrtc");
  for (let i = 0; i < TRIES + 2; i++) {
    chosen.failed("no-way");
    wait(RETURN_AFTER);
    expect(chosen.returns()).toBe(true);
    chosen.worked();
  }
});

test("who didn't ask for WebRTC never gets it", () => {
  const { choice: chosen, wait } = choice("mse");
  wait(RETURN_AFTER);
  expect(chosen.returns()).toBe(false);
  expect(chosen.current).toBe("mse");
});
