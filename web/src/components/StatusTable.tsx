import type { ReactNode } from "react";
import { Link } from "react-router";
import type { WorkerStatus } from "../api/schema";
import { streamPath } from "../streams/urls";

export interface Column<Row extends WorkerStatus = WorkerStatus> {
  name: string;
  numeric?: boolean;
  cell: (row: Row) => ReactNode;
}

interface StatusTableProps<Row extends WorkerStatus> {
  /** For screen readers. */
  caption: string;
  /** Head of the first column, which has the names. */
  name: string;
  columns: Column<Row>[];
  rows: Row[];
}

/**
 * Table with a row for each worker, linked to its stream.
 *
 * On a phone its rows are laid out as cards. Browsers drop the table semantics of elements that are
 * not displayed as a table, so explicit roles restore them.
 */
export function StatusTable<Row extends WorkerStatus>({
  caption,
  name,
  columns,
  rows,
}: StatusTableProps<Row>) {
  return (
    <table className="worker-table" role="table">
      <caption className="visually-hidden">{caption}</caption>
      <thead role="rowgroup">
        <tr role="row">
          <th role="columnheader" scope="col">
            {name}
          </th>
          {columns.map(({ name, numeric }) => (
            <th key={name} role="columnheader" scope="col" data-numeric={numeric}>
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.map((row) => (
          <tr key={row.instance_id} role="row" data-state={row.stream_state}>
            <th role="rowheader" scope="row">
              <Link to={streamPath(row.instance_id)}>{row.instance_id}</Link>
            </th>
            {columns.map(({ name, numeric, cell }) => (
              <td key={name} role="cell" data-name={name} data-numeric={numeric}>
                {cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
