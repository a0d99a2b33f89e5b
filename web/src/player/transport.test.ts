import { expect, test, vi } from "vitest";
import { MAX_FAILURES, preferredTransport, RETRY_AFTER_MS, TransportSelector } from "./transport";

function makeSelector(preferred: "webrtc" | "mse"): {
  selector: TransportSelector;
  wait: (ms: number) => void;
} {
  let time = 10_000;
  const wait = (ms: number) => {
    time += ms;
  };
  return { selector: new TransportSelector(preferred, () => time), wait };
}

function withCodecs(...codecs: { mimeType: string; sdpFmtpLine?: string }[]): void {
  vi.stubGlobal("RTCPeerConnection", class {});
  vi.stubGlobal("RTCRtpReceiver", { getCapabilities: () => ({ codecs }) });
}

const BASELINE = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";

test("the page's URL overrides the default", () => {
  withCodecs({ mimeType: "video/H264", sdpFmtpLine: BASELINE });
  expect(preferredTransport("?worker=omega-0&transport=webrtc", false)).toBe("webrtc");
  expect(preferredTransport("?transport=mse", true)).toBe("mse");
});

test("low latency prefers WebRTC", () => {
  withCodecs({ mimeType: "video/VP8" }, { mimeType: "video/H264", sdpFmtpLine: BASELINE });
  expect(preferredTransport("?worker=omega-0", true)).toBe("webrtc");
  expect(preferredTransport("?worker=omega-0", false)).toBe("mse");
  expect(preferredTransport("?transport=unknown", false)).toBe("mse");
});

test("low latency uses MSE where the browser does not support the stream over WebRTC", () => {
  withCodecs(
    { mimeType: "video/VP8" },
    { mimeType: "video/H264", sdpFmtpLine: "packetization-mode=0;profile-level-id=42e01f" },
    { mimeType: "video/H264", sdpFmtpLine: "packetization-mode=1;profile-level-id=640c1f" },
  );
  expect(preferredTransport("", true)).toBe("mse");
  vi.unstubAllGlobals();
  expect(preferredTransport("", true)).toBe("mse");
});

test("a worker without a stream is watched over MSE until it is live", () => {
  const { selector, wait } = makeSelector("webrtc");
  expect(selector.current).toBe("webrtc");
  for (let i = 0; i < 5; i++) {
    selector.failed("no-stream");
    expect(selector.current).toBe("mse");
    expect(selector.retry()).toBe(false);
    wait(RETRY_AFTER_MS);
    expect(selector.retry()).toBe(true);
    expect(selector.current).toBe("webrtc");
  }
});

test("WebRTC is given up after repeated connection failures", () => {
  const { selector, wait } = makeSelector("webrtc");
  for (let i = 0; i < MAX_FAILURES; i++) {
    selector.failed("no-connection");
    wait(RETRY_AFTER_MS);
    expect(selector.retry()).toBe(i < MAX_FAILURES - 1);
  }
  expect(selector.current).toBe("mse");
});

test("only consecutive failures count", () => {
  const { selector, wait } = makeSelector("webrtc");
  for (let i = 0; i < MAX_FAILURES + 2; i++) {
    selector.failed("no-connection");
    wait(RETRY_AFTER_MS);
    expect(selector.retry()).toBe(true);
    selector.succeeded();
  }
});

test("MSE never switches to WebRTC", () => {
  const { selector, wait } = makeSelector("mse");
  wait(RETRY_AFTER_MS);
  expect(selector.retry()).toBe(false);
  expect(selector.current).toBe("mse");
});
