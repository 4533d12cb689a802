from __future__ import annotations

import asyncio
import threading

import pytest

from imageclef.service.pool import Busy, Pool


def test_work_is_done_in_threads_and_errors_come_back() -> None:
    async def main() -> tuple[int, int]:
        pool = Pool("test", 2, 1)
        with pytest.raises(ZeroDivisionError, match="division"):
            await pool.run(divmod, 1, 0)
        thread = await pool.run(threading.get_ident)
        assert pool.jobs == 0
        return thread, await pool.run(int, "10", base=3)

    thread, three = asyncio.run(main())
    assert thread != threading.get_ident()
    assert three == 3


def test_there_is_room_for_so_many_and_no_more() -> None:
    async def main() -> None:
        pool, go = Pool("test", 1, 2), threading.Event()
        jobs = [asyncio.create_task(pool.run(go.wait, 10)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert pool.jobs == 3
        with pytest.raises(Busy, match="test"):
            await pool.run(int)
        go.set()
        assert await asyncio.gather(*jobs) == [True] * 3
        assert await pool.run(int) == 0

    asyncio.run(main())


def test_a_job_that_is_given_up_while_it_waits_is_not_begun() -> None:
    async def main() -> list[str]:
        pool, go, done = Pool("test", 1, 5), threading.Event(), []
        running = asyncio.create_task(pool.run(go.wait, 10))
        waiting = asyncio.create_task(pool.run(done.append, "given up"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.sleep(0.05)
        assert pool.jobs == 1
        go.set()
        await running
        await pool.run(done.append, "last")
        assert pool.jobs == 0
        return done

    assert asyncio.run(main()) == ["last"]
