from pathlib import Path

from tests.cli.driving import Evcli


def test_a_sound_store_is_summed_up_with_its_checkpoint(bank: Evcli) -> None:
    report = bank.ok("verify").json
    checkpoint = bank.ok("checkpoint").out.decode().strip()
    assert report["ok"] is True
    assert (report["streams"], report["events"], report["commits"]) == (2, 5, 5)
    assert report["checkpoint"] == checkpoint
    assert checkpoint in bank.ok("verify", "-o", "table").out.decode()


def test_a_checkpoint_is_plain_text_unless_a_format_is_asked_for(bank: Evcli) -> None:
    text = bank.ok("checkpoint").out.decode()
    position, _, digest = text.strip().partition(":")
    assert (position, len(digest)) == ("5", 64)
    assert bank.ok("checkpoint", "-r").out.decode() == text
    assert bank.ok("checkpoint", "-o", "json").json == {"position": 5, "hash": digest}
    assert bank.ok("checkpoint", "-o", "csv").out.decode() == f"position,hash\n5,{digest}\n"


def test_a_checkpoint_is_the_position_of_the_last_event(bank: Evcli) -> None:
    before = bank.ok("checkpoint").out
    bank.ok("append", "s", "--from", "-", stdin=b'{"type":"t"}\n' * 3)
    after = bank.ok("checkpoint").out
    assert after.startswith(b"8:")
    assert after != before


def test_every_changed_byte_of_streams_and_journal_is_found(evcli: Evcli, store_path: Path) -> None:
    evcli.ok("append", "s", "t", "n:=1")
    evcli.ok("append", "s", "t", "n:=2")
    for name in ("streams/s.jsonl", "journal.jsonl"):
        path = store_path / name
        sound = path.read_bytes()
        for offset in range(0, len(sound), 71):
            path.write_bytes(sound[:offset] + bytes([sound[offset] ^ 1]) + sound[offset + 1 :])
            assert evcli("verify").code == 72, (name, offset)
        path.write_bytes(sound)
    evcli.ok("verify")


def test_damage_names_the_file_and_what_to_do(evcli: Evcli, store_path: Path) -> None:
    evcli.ok("append", "s", "t", "n:=1")
    evcli.ok("append", "s", "t", "n:=2")
    path = store_path / "streams" / "s.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":7'))
    result = evcli("verify")
    assert result.code == 72
    assert "streams/s.jsonl" in result.err
    assert result.err.count("\n") == 1


def test_no_store_is_exit_4(evcli: Evcli) -> None:
    for command in ("verify", "checkpoint"):
        evcli.fails(4, command)
