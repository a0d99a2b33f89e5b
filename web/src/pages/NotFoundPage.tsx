import { Link, useLocation } from "react-router";

/** Every other address. */
export function NotFoundPage() {
  const { pathname } = useLocation();
  return (
    <div className="not-found">
      <title>Not found · MetaBonk</title>
      <p className="not-found-code" aria-hidden="true">
        404
      </p>
      <h1>Nothing plays here</h1>
      <p>
        There is no page <code>{pathname}</code>.
      </p>
      <p>
        <Link to="/">The fleet</Link> · <Link to="/neural/broadcast">The broadcast</Link>
      </p>
    </div>
  );
}
