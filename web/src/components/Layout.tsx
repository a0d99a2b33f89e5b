import { useEffect, useRef } from "react";
import { NavLink, Outlet, useLocation } from "react-router";
import { useFleet } from "../api/queries";

/** What every page has: the name, the ways to the other pages, and which run this is. */
export function Layout() {
  const main = useRef<HTMLElement>(null);
  const arrived = useRef(true);
  const { pathname } = useLocation();
  const { data: fleet } = useFleet();

  // A reader of the page starts anew after a change of page, but not on arrival.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the path is what it is about
  useEffect(() => {
    if (arrived.current) arrived.current = false;
    else main.current?.focus();
  }, [pathname]);

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
          <NavLink to="/" end>
            Fleet
          </NavLink>
          <NavLink to="/neural/broadcast">Broadcast</NavLink>
        </nav>
        {fleet && (
          <p className="run">
            <span>{fleet.mode === "train" ? "training" : "playing"}</span>
            {fleet.game}
            <span>run {fleet.run}</span>
          </p>
        )}
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        <Outlet />
      </main>
    </>
  );
}
