import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { NavLink, Outlet, useLocation, useNavigate, useSearchParams } from "react-router";
import { ApiError } from "../api/client";
import { useFleet, useOriginCheck } from "../api/queries";
import { removeStage } from "../opening/stage";
import { describeRun, pagesOf } from "../site";
import { AlertMark } from "./AlertMark";
import { Notice } from "./Notice";
import { ShortcutsDialog } from "./ShortcutsDialog";
import { useShortcuts } from "./shortcuts";

/** Frame of every page: header with navigation, content, shortcuts dialog. */
export function Layout() {
  const main = useRef<HTMLElement>(null);
  const isFirstPage = useRef(true);
  const { pathname } = useLocation();
  const navigate = useNavigate();
  const [query] = useSearchParams();
  const { error: originError } = useOriginCheck();
  const [shortcutsOpen, setShortcutsOpen] = useState(false);
  const { data: fleet } = useFleet();
  const pages = pagesOf(fleet);

  // The picture has moved into this page by then: effects of what is inside come first.
  useLayoutEffect(removeStage, []);

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
  const pages = pagesOf(fleet);
  const run = fleet && describeRun(fleet);
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
        {run && (
          <p className="run">
            <span>{run[0]}</span>
            {run[1]}
            <span>{run[2]}</span>
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
