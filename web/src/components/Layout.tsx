import { useEffect, useMemo, useRef, useState } from "react";
import { NavLink, Outlet, useLocation, useNavigate, useSearchParams } from "react-router";
import { useFleet } from "../api/queries";
import { KeysDialog } from "./ShortcutsDialog";
import { useKeys } from "./shortcuts";

const PAGES = [
  { path: "/", name: "Fleet" },
  { path: "/neural/broadcast", name: "Broadcast" },
  { path: "/runs", name: "Runs" },
];

/** What every page has: the name, the ways to the other pages, and which run this is. */
export function Layout() {
  const main = useRef<HTMLElement>(null);
  const arrived = useRef(true);
  const { pathname } = useLocation();
  const navigate = useNavigate();
  const [query] = useSearchParams();
  const [keysShown, setKeysShown] = useState(false);

  const actions = useMemo(
    () => ({
      "?": () => setKeysShown((shown) => !shown),
      g: () => {
        const here = PAGES.findIndex(({ path }) => path === pathname);
        void navigate(PAGES[(here + 1) % PAGES.length]?.path ?? "/");
      },
    }),
    [navigate, pathname],
  );
  useKeys(actions);

  // A reader of the page starts anew after a change of page, but not on arrival.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the path is what it is about
  useEffect(() => {
    if (arrived.current) arrived.current = false;
    else main.current?.focus();
  }, [pathname]);

  const clean = query.get("clean") === "1";
  return (
    <>
      {!clean && <Header onKeys={() => setKeysShown(true)} />}
      <main id="main" ref={main} tabIndex={-1} data-clean={clean}>
        <Outlet />
      </main>
      <KeysDialog open={keysShown} onClose={() => setKeysShown(false)} />
    </>
  );
}

function Header({ onKeys }: { onKeys: () => void }) {
  const { data: fleet } = useFleet();
  return (
    <>
      <a className="skip" href="#main">
        Skip to content
      </a>
      <header className="site-header">
        <NavLink className="wordmark" to="/">
          MetaBonk
        </NavLink>
        <nav aria-label="Pages">
          {PAGES.map(({ path, name }) => (
            <NavLink key={path} to={path} end>
              {name}
            </NavLink>
          ))}
        </nav>
        {fleet && (
          <p className="run">
            <span>{fleet.mode === "train" ? "training" : "playing"}</span>
            {fleet.game}
            <span>run {fleet.run}</span>
          </p>
        )}
        <button type="button" className="button keys-button" aria-label="Keys" onClick={onKeys}>
          <kbd>?</kbd>
        </button>
      </header>
    </>
  );
}
