"""A machine as its kernel shows it in files: supplies of power, processors, and one process."""

from __future__ import annotations

from pathlib import Path


def supply(folder: Path, name: str, **values: str) -> Path:
    """Add a power supply: its type, and whatever else it says."""
    place = folder / name
    place.mkdir(parents=True)
    for key, value in values.items():
        (place / key).write_text(value + "\n")
    return place


class FakeProc:
    """A `/proc` of two processors, whose sums go where they are set."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.user = self.idle = self.iowait = self.steal = self.nice = 0
        self.own_user = self.own_system = 0
        self.waited_us: int | None = 0
        self.own_waited_ns = [0, 0]
        (root / "self").mkdir(parents=True)
        (root / "pressure").mkdir()
        self.write()

    def write(self) -> None:
        """Put the sums where they are read."""
        cpu = f"{self.user} {self.nice} 0 {self.idle} {self.iowait} 0 0 {self.steal} 0 0"
        (self.root / "stat").write_text(f"cpu  {cpu}\ncpu0 1 2 3 4\nintr 0\n")
        fields = ["S", *["0"] * 10, str(self.own_user), str(self.own_system), *["0"] * 30]
        (self.root / "self" / "stat").write_text(f"42 (a (name) 99) {' '.join(fields)}\n")
        pressure = self.root / "pressure" / "cpu"
        if self.waited_us is None:
            pressure.unlink(missing_ok=True)
        else:
            pressure.write_text(
                f"some avg10=1.00 avg60=0.00 avg300=0.00 total={self.waited_us}\n"
                "full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"
            )
        for number, waited in enumerate(self.own_waited_ns):
            thread = self.root / "self" / "task" / str(42 + number)
            thread.mkdir(parents=True, exist_ok=True)
            (thread / "schedstat").write_text(f"1000 {waited} 3\n")
