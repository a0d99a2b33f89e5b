import { useEffect } from "react";
import { useIncidents } from "../api/queries";

const MARK = "⚠ ";
const ALERT_ICON = "favicon-alert.svg";

/** Marks the tab, its title and its icon, while there are incidents. */
export function AlertMark() {
  const { data: incidents } = useIncidents();
  const alerted = incidents !== undefined && incidents.length > 0;
  useEffect(() => (alerted ? markTab() : undefined), [alerted]);
  return null;
}

/** Mark the tab, whatever title its pages set; return how to undo that. */
function markTab(): () => void {
  const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]");
  const quiet = icon?.getAttribute("href") ?? "";
  icon?.setAttribute("href", quiet.replace("favicon.svg", ALERT_ICON));
  const mark = () => {
    if (!document.title.startsWith(MARK)) document.title = MARK + document.title;
  };
  mark();
  const observer = new MutationObserver(mark);
  observer.observe(document.head, { subtree: true, childList: true, characterData: true });
  return () => {
    observer.disconnect();
    icon?.setAttribute("href", quiet);
    if (document.title.startsWith(MARK)) document.title = document.title.slice(MARK.length);
  };
}
