import type { ReactNode } from "react";

interface NoticeProps {
  title: string;
  tone?: "calm" | "warning";
  children: ReactNode;
}

/** What is so, and what to do, in place of what can't be shown or above it. */
export function Notice({ title, tone = "calm", children }: NoticeProps) {
  return (
    <div className="notice" data-tone={tone} role={tone === "warning" ? "alert" : "status"}>
      <h2>{title}</h2>
      <div>{children}</div>
    </div>
  );
}
