"""``metabonk.streaming.stills``: questions of a relay, and the worker's answers."""

import asyncio
import base64

from metabonk.messages.streams import StillMessage, StillsRequest
from metabonk.streaming.snapshot import Snapshot
from metabonk.streaming.stills import MAX_UNANSWERED, StillAnswers, StillQuestions


class Socket:
    """A relay's connection, as far as answers need it."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send_text(self, text: str) -> None:
        self.sent.append(text)


def question(max_width: int | None) -> str:
    return StillsRequest(max_width=max_width).model_dump_json()


def still(text: str) -> StillMessage:
    return StillMessage(jpeg=base64.b64encode(text.encode()).decode())


def test_viewers_of_one_width_share_a_question_and_each_width_gets_its_answer():
    async def ask() -> None:
        sent: list[str] = []

        async def send(text: str) -> None:
            sent.append(text)

        questions = StillQuestions(send)
        asked = [asyncio.create_task(questions.newest(width)) for width in (160, 320, 160)]
        await asyncio.sleep(0)
        assert sent == [question(160), question(320)]
        questions.answer(still("narrow"))
        questions.answer(still("wide"))
        questions.answer(still("nobody asked"))
        assert await asyncio.gather(*asked) == [still("narrow"), still("wide"), still("narrow")]

    asyncio.run(ask())


def test_a_worker_without_a_frame_answers_that_there_is_none():
    async def ask() -> None:
        socket = Socket()
        with StillAnswers(socket, Snapshot(lambda: None)) as answers:  # type: ignore[arg-type]
            assert answers.take(question(320))
            while not socket.sent:
                await asyncio.sleep(0)
        answered = StillMessage.model_validate_json(socket.sent[0])
        questions = StillQuestions(lambda text: asyncio.sleep(0))
        asked = asyncio.create_task(questions.newest(320))
        await asyncio.sleep(0)
        questions.answer(answered)
        assert await asked is None

    asyncio.run(ask())


def test_a_relay_that_asks_without_end_is_refused():
    async def ask() -> list[bool]:
        with StillAnswers(Socket(), Snapshot(lambda: None)) as answers:  # type: ignore[arg-type]
            return [answers.take(question(320)) for _ in range(MAX_UNANSWERED + 1)]

    assert asyncio.run(ask()) == [True] * MAX_UNANSWERED + [False]


def test_other_texts_are_no_questions():
    async def ask() -> bool:
        with StillAnswers(Socket(), Snapshot(lambda: None)) as answers:  # type: ignore[arg-type]
            return answers.take('{"type": "audience"}')

    assert not asyncio.run(ask())
