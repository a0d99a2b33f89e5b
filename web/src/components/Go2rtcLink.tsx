import { useFleet } from "../api/queries";
import { go2rtcUrl } from "../streams/urls";

const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];

/** Link to go2rtc's player; only for local viewers, as go2rtc listens on loopback alone. */
export function Go2rtcLink({ worker }: { worker: string }) {
  const { data: fleet } = useFleet();
  if (!fleet?.go2rtc || !LOOPBACK.includes(window.location.hostname)) return null;
  return (
    <p className="detail">
      <a href={go2rtcUrl(fleet.go2rtc, worker)} target="_blank" rel="noreferrer">
        {worker} in go2rtc
      </a>{" "}
      (this machine only)
    </p>
  );
}
