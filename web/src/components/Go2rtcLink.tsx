import { useFleet } from "../api/queries";
import { go2rtcPage } from "../streams/urls";

const THIS_MACHINE = ["localhost", "127.0.0.1", "[::1]"];

/** The way to go2rtc's player while it runs: it listens on the fleet's own machine alone. */
export function Go2rtcLink({ worker }: { worker: string }) {
  const { data: fleet } = useFleet();
  if (!fleet?.go2rtc || !THIS_MACHINE.includes(window.location.hostname)) return null;
  return (
    <p className="detail">
      <a href={go2rtcPage(fleet.go2rtc, worker)} target="_blank" rel="noreferrer">
        {worker} in go2rtc
      </a>
      , on this machine
    </p>
  );
}
