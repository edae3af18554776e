"""Processes that multiprocessing forks, and processes that those fork. prefork.py CHILDREN REQUESTS"""

import multiprocessing
import sys

from lastlight import Agent, Trace

agent = Agent()
trace = Trace(agent, "python-prefork")


def work(name, requests):
    for request in range(requests):
        with trace.span("job.run", child=name, request=request) as root:
            with trace.span("db.query", root):
                pass
        while not trace.submit():
            agent.settle(0.1)


def close(name, requests):
    counts = agent.close(10)
    if counts["accepted"] != requests:
        sys.exit(f"{name}: {counts}")


def grandchild(name, requests):
    work(name, requests)
    close(name, requests)


def child(name, requests, fork):
    below = fork.Process(target=grandchild, args=(name + ".0", requests))
    below.start()
    work(name, requests)
    below.join()
    close(name, requests)
    sys.exit(below.exitcode)


def main():
    children, requests = (int(argument) for argument in sys.argv[1:3])
    fork = multiprocessing.get_context("fork")
    running = [fork.Process(target=child, args=(str(number), requests, fork)) for number in range(children)]
    for process in running:
        process.start()
    work("parent", requests)
    for process in running:
        process.join()
    delivered = agent.flush(10)
    counts = agent.close(10)
    for message in agent.messages():
        print(message, file=sys.stderr)
    codes = [process.exitcode for process in running]
    sys.exit(0 if delivered and codes == [0] * children and counts["accepted"] == requests else f"{codes} {counts}")


if __name__ == "__main__":
    main()
