import { useEffect, useMemo, useRef, useState } from "react";
import { NavLink, Outlet, useLocation, useNavigate, useSearchParams } from "react-router";
import { ApiError } from "../api/client";
import { useFleet, useOriginCheck } from "../api/queries";
import { isHub } from "../streams/workers";
import { AlertMark } from "./AlertMark";
import { Notice } from "./Notice";
import { ShortcutsDialog } from "./ShortcutsDialog";
import { useShortcuts } from "./shortcuts";

const PAGES = [
  { path: "/", name: "Fleet" },
  { path: "/neural/broadcast", name: "Broadcast" },
  { path: "/wall", name: "Wall" },
  { path: "/runs", name: "Runs" },
];
/** A hub trains nothing, so it has no runs. */
const HUB_PAGES = [
  { path: "/neural/broadcast", name: "Broadcast" },
  { path: "/wall", name: "Wall" },
  { path: "/", name: "Environments" },
];

function usePages() {
  const { data: fleet } = useFleet();
  return fleet && isHub(fleet) ? HUB_PAGES : PAGES;
}

/** Frame of every page: header with navigation, content, shortcuts dialog. */
export function Layout() {
  const main = useRef<HTMLElement>(null);
  const isFirstPage = useRef(true);
  const { pathname } = useLocation();
  const navigate = useNavigate();
  const [query] = useSearchParams();
  const { error: originError } = useOriginCheck();
  const [shortcutsOpen, setShortcutsOpen] = useState(false);
  const pages = usePages();

  const actions = useMemo(
    () => ({
      "?": () => setShortcutsOpen((open) => !open),
      g: () => {
        const current = pages.findIndex(({ path }) => path === pathname);
        void navigate(pages[(current + 1) % pages.length]?.path ?? "/");
      },
    }),
    [navigate, pathname, pages],
  );
  useShortcuts(actions);

  // A screen reader starts at the content after navigating, but not on the first load.
  // biome-ignore lint/correctness/useExhaustiveDependencies: runs once per path
  useEffect(() => {
    if (isFirstPage.current) isFirstPage.current = false;
    else main.current?.focus();
  }, [pathname]);

  const clean = query.get("clean") === "1";
  return (
    <>
      <AlertMark />
      {!clean && <Header onShowShortcuts={() => setShortcutsOpen(true)} />}
      <main id="main" ref={main} tabIndex={-1} data-clean={clean}>
        {originError instanceof ApiError ? (
          <Notice title="This address can't show streams" tone="warning">
            <p>{originError.message}</p>
          </Notice>
        ) : (
          <Outlet />
        )}
      </main>
      <ShortcutsDialog open={shortcutsOpen} onClose={() => setShortcutsOpen(false)} />
    </>
  );
}

function Header({ onShowShortcuts }: { onShowShortcuts: () => void }) {
  const { data: fleet } = useFleet();
  const pages = usePages();
  return (
    <>
      <a className="skip-link" href="#main">
        Skip to content
      </a>
      <header className="site-header">
        <NavLink className="wordmark" to="/">
          MetaBonk
        </NavLink>
        <nav aria-label="Pages">
          {pages.map(({ path, name }) => (
            <NavLink key={path} to={path} end>
              {name}
            </NavLink>
          ))}
        </nav>
        {fleet && !isHub(fleet) && (
          <p className="run">
            <span>{fleet.mode === "train" ? "training" : "playing"}</span>
            {fleet.game}
            <span>run {fleet.run}</span>
          </p>
        )}
        <button
          type="button"
          className="button shortcuts-button"
          aria-label="Keyboard shortcuts"
          onClick={onShowShortcuts}
        >
          <kbd>?</kbd>
        </button>
      </header>
    </>
  );
}
