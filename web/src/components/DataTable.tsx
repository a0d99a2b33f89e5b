import {
  type ColumnDef,
  columnFilteringFeature,
  createFilteredRowModel,
  createSortedRowModel,
  globalFilteringFeature,
  type Row,
  rowSortingFeature,
  type SortingState,
  tableFeatures,
  useTable,
} from "@tanstack/react-table";
import { type ReactNode, useMemo, useState } from "react";

export interface Column<Item> {
  name: string;
  numeric?: boolean;
  /** What it is sorted by; left out where an order means nothing. */
  value?: (item: Item) => number | string | null | undefined;
  cell: (item: Item) => ReactNode;
}

interface DataTableProps<Item> {
  /** For screen readers. */
  caption: string;
  /** The first one names the row. */
  columns: readonly Column<Item>[];
  rows: readonly Item[];
  rowKey: (item: Item) => string;
  /** What the filter looks for in a row; without it there is no filter. */
  text?: (item: Item) => string;
  /** As high as its rows; else it scrolls. */
  whole?: boolean;
}

/** From this many rows on they can be filtered. */
const MIN_FILTERED = 8;

const features = tableFeatures({
  columnFilteringFeature,
  globalFilteringFeature,
  rowSortingFeature,
  filteredRowModel: createFilteredRowModel(),
  sortedRowModel: createSortedRowModel(),
});

/**
 * Table whose rows can be sorted and filtered.
 *
 * Where it is narrow its rows are laid out as cards. Browsers drop the table semantics of elements
 * that are not displayed as a table, so explicit roles restore them.
 */
export function DataTable<Item extends object>({
  caption,
  columns,
  rows,
  rowKey,
  text,
  whole = false,
}: DataTableProps<Item>) {
  const [sorting, setSorting] = useState<SortingState>([]);
  const [filter, setFilter] = useState("");
  const definitions = useMemo(
    () =>
      columns.map(
        ({ name, value }): ColumnDef<typeof features, Item> => ({
          id: name,
          accessorFn: (item) => value?.(item) ?? undefined,
          enableSorting: value !== undefined,
          sortFn: byValue,
          sortUndefined: "last",
        }),
      ),
    [columns],
  );
  const table = useTable<typeof features, Item>({
    features,
    columns: definitions,
    data: rows as Item[],
    getRowId: rowKey,
    state: { sorting, globalFilter: filter },
    onSortingChange: setSorting,
    getColumnCanGlobalFilter: (column) => column.id === columns[0]?.name,
    globalFilterFn: ({ original }, _, sought: string) =>
      (text?.(original) ?? "").toLowerCase().includes(sought.trim().toLowerCase()),
  });
  const shown = table.getRowModel().rows;
  const [sorted] = sorting;
  return (
    <div className="data-table">
      {text && rows.length >= MIN_FILTERED && (
        <input
          type="search"
          className="field"
          placeholder="Filter"
          aria-label={`Filter ${caption}`}
          value={filter}
          onChange={({ target }) => setFilter(target.value)}
        />
      )}
      <SortChoice caption={caption} columns={columns} sorting={sorting} onSort={setSorting} />
      <section
        className="scroll"
        data-whole={whole}
        aria-label={`Rows of ${caption}`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be focusable
        tabIndex={0}
      >
        <table role="table">
          <caption className="visually-hidden">{caption}</caption>
          <thead role="rowgroup">
            <tr role="row">
              {columns.map((column) => {
                const direction =
                  sorted?.id === column.name && (sorted.desc ? "descending" : "ascending");
                return (
                  <th
                    key={column.name}
                    role="columnheader"
                    scope="col"
                    data-numeric={column.numeric}
                    aria-sort={direction || undefined}
                  >
                    {column.value ? (
                      <button
                        type="button"
                        onClick={() => table.getColumn(column.name)?.toggleSorting()}
                      >
                        {column.name}
                      </button>
                    ) : (
                      column.name
                    )}
                  </th>
                );
              })}
            </tr>
          </thead>
          <tbody role="rowgroup">
            {shown.map(({ id, original }) => (
              <tr key={id} role="row">
                {columns.map(({ name, numeric, cell }, i) =>
                  i === 0 ? (
                    <th key={name} role="rowheader" scope="row">
                      {cell(original)}
                    </th>
                  ) : (
                    <td key={name} role="cell" data-name={name} data-numeric={numeric}>
                      {cell(original)}
                    </td>
                  ),
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      {shown.length === 0 && rows.length > 0 && <p className="empty">Nothing matches.</p>}
    </div>
  );
}

/** Compare two rows; numbers and texts as people expect (omega-2 before omega-10). */
function byValue<Item extends object>(
  a: Row<typeof features, Item>,
  b: Row<typeof features, Item>,
  column: string,
): number {
  const [one, other] = [a.getValue(column), b.getValue(column)];
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), undefined, { numeric: true });
}

interface SortChoiceProps {
  caption: string;
  columns: readonly { name: string; numeric?: boolean; value?: unknown }[];
  sorting: SortingState;
  onSort: (sorting: SortingState) => void;
}

/** Choice of the order, where the table has no head. */
function SortChoice({ caption, columns, sorting: [sorted], onSort }: SortChoiceProps) {
  return (
    <select
      className="field sort-choice"
      aria-label={`Sort ${caption}`}
      value={sorted?.id ?? ""}
      onChange={({ target: { value } }) => {
        const numeric = columns.find(({ name }) => name === value)?.numeric ?? false;
        onSort(value ? [{ id: value, desc: numeric }] : []);
      }}
    >
      <option value="">In their order</option>
      {columns
        .filter(({ value }) => value !== undefined)
        .map(({ name }) => (
          <option key={name} value={name}>
            By {name}
          </option>
        ))}
    </select>
  );
}
