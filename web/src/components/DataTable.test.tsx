import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { type Column, DataTable } from "./DataTable";

interface Fruit {
  name: string;
  price: number | null;
}

const COLUMNS: Column<Fruit>[] = [
  { name: "Name", value: ({ name }) => name, cell: ({ name }) => name },
  { name: "Price", numeric: true, value: ({ price }) => price, cell: ({ price }) => price },
  { name: "Note", cell: () => "–" },
];
const FRUITS = [
  { name: "omega-10", price: 2 },
  { name: "omega-2", price: null },
  { name: "omega-1", price: 30 },
];

afterEach(cleanup);

function renderTable(rows: Fruit[] = FRUITS): void {
  render(
    <DataTable
      caption="Fruits"
      columns={COLUMNS}
      rows={rows}
      rowKey={({ name }) => name}
      text={({ name }) => name}
    />,
  );
}

function names(): (string | null)[] {
  return screen.getAllByRole("rowheader").map(({ textContent }) => textContent);
}

test("rows are in their order until a column is chosen", () => {
  renderTable();
  expect(names()).toEqual(["omega-10", "omega-2", "omega-1"]);
  expect(screen.queryByRole("button", { name: "Note" })).toBeNull();
});

test("a click on a column sorts by it, the next one the other way, and missing values are last", () => {
  renderTable();
  const price = screen.getByRole("button", { name: "Price" });
  const header = screen.getByRole("columnheader", { name: "Price" });
  fireEvent.click(price);
  expect(names()).toEqual(["omega-1", "omega-10", "omega-2"]);
  expect(header.getAttribute("aria-sort")).toBe("descending");
  fireEvent.click(price);
  expect(names()).toEqual(["omega-10", "omega-1", "omega-2"]);
  expect(header.getAttribute("aria-sort")).toBe("ascending");
  fireEvent.click(price);
  expect(names()).toEqual(["omega-10", "omega-2", "omega-1"]);
});

test("numbers within names count as numbers", () => {
  renderTable();
  fireEvent.click(screen.getByRole("button", { name: "Name" }));
  expect(names()).toEqual(["omega-1", "omega-2", "omega-10"]);
});

test("where there is no head a list offers the order", () => {
  renderTable();
  fireEvent.change(screen.getByLabelText("Sort Fruits"), { target: { value: "Price" } });
  expect(names()).toEqual(["omega-1", "omega-10", "omega-2"]);
});

test("many rows can be filtered", () => {
  const many = Array.from({ length: 12 }, (_, i) => ({ name: `omega-${i}`, price: i }));
  renderTable(many);
  const filter = screen.getByLabelText("Filter Fruits");
  fireEvent.change(filter, { target: { value: " OMEGA-1" } });
  expect(names()).toEqual(["omega-1", "omega-10", "omega-11"]);
  fireEvent.change(filter, { target: { value: "melon" } });
  expect(screen.getByText("Nothing matches.")).toBeTruthy();
});
