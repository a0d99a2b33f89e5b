import { Link, useLocation } from "react-router";

/** Page for unknown paths. */
export function NotFoundPage() {
  const { pathname } = useLocation();
  return (
    <div className="not-found">
      <title>Page not found · MetaBonk</title>
      <p className="not-found-code" aria-hidden="true">
        404
      </p>
      <h1>Page not found</h1>
      <p>
        There is no page at <code>{pathname}</code>.
      </p>
      <p>
        <Link to="/">Go to the fleet</Link> ·{" "}
        <Link to="/neural/broadcast">Go to the broadcast</Link>
      </p>
    </div>
  );
}
