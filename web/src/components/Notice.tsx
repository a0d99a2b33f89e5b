import type { ReactNode } from "react";
import { ApiError } from "../api/client";
import { formatTime } from "./format";

interface NoticeProps {
  title: string;
  tone?: "info" | "warning";
  children: ReactNode;
}

/** Message about what is missing or wrong, and what to do about it. */
export function Notice({ title, tone = "info", children }: NoticeProps) {
  return (
    <div className="notice" data-tone={tone} role={tone === "warning" ? "alert" : "status"}>
      <h2>{title}</h2>
      <div>{children}</div>
    </div>
  );
}

interface ConnectionNoticeProps {
  error: Error;
  /** Unix time in ms of the data still shown below; null without any. */
  dataUpdatedAt: number | null;
}

/** Notice that the orchestrator does not answer, or answers with an error. */
export function ConnectionNotice({ error, dataUpdatedAt }: ConnectionNoticeProps) {
  const failed = error instanceof ApiError;
  const unreachable =
    dataUpdatedAt === null
      ? "Cannot reach the orchestrator"
      : "Lost connection to the orchestrator";
  return (
    <Notice title={failed ? "The orchestrator reports an error" : unreachable} tone="warning">
      {failed && <p>{error.message}</p>}
      {dataUpdatedAt === null ? (
        <p>
          If no fleet is running, start one with <code>./start --mode train --workers 2</code>.
          Retrying automatically.
        </p>
      ) : (
        <p>Showing data from {formatTime(dataUpdatedAt)}. Reconnecting automatically.</p>
      )}
    </Notice>
  );
}
