import { expect, test } from "vitest";
import { RETURN_AFTER, TRIES, TransportChoice, wishedTransport } from "./transport";

function choice(wish: "webrtc" | "mse"): { choice: TransportChoice; wait: (ms: number) => void } {
  let time = 10_000;
  const wait = (ms: number) => {
    time += ms;
  };
  return { choice: new TransportChoice(wish, () => time), wait };
}

test("only the page's address asks for WebRTC", () => {
  expect(wishedTransport("?worker=omega-0&transport=webrtc")).toBe("webrtc");
  expect(wishedTransport("?worker=omega-0")).toBe("mse");
  expect(wishedTransport("?transport=carrier-pigeon")).toBe("mse");
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
