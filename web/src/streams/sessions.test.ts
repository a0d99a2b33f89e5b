import { expect, test } from "vitest";
import { workerStatus } from "../api/examples";
import { byIndex, sessionPools } from "./sessions";

test("workers are in the order of their numbers, not of their names", () => {
  const workers = [10, 2, 0].map((index) => workerStatus(index));
  const named = Object.fromEntries(workers.map((worker) => [worker.instance_id, worker]));
  expect(byIndex(named).map((worker) => worker.worker_index)).toEqual([0, 2, 10]);
});

test("without NVENC there is a pool only where somebody encodes in software", () => {
  expect(sessionPools([workerStatus(0), workerStatus(1)])).toEqual([]);
  expect(sessionPools([workerStatus(0, { stream_backend: "av:libx264" })])).toEqual([
    { name: "Software", used: 1, limit: null, holders: ["omega-0"] },
  ]);
});

test("a GPU's sessions are the driver's count, with other programs in it", () => {
  const gpu = { gpu_index: 0, nvenc_used: 2, nvenc_limit: 3 };
  const workers = [
    workerStatus(0, { ...gpu, nvenc_slot: 0, stream_backend: "gst:cuda_appsrc:nvh264enc" }),
    workerStatus(1, gpu),
    workerStatus(2, { ...gpu, stream_backend: "av:libx264" }),
  ];
  expect(sessionPools(workers)).toEqual([
    { name: "NVENC, GPU 0", used: 2, limit: 3, holders: ["omega-0"] },
    { name: "Software", used: 1, limit: null, holders: ["omega-2"] },
  ]);
});
