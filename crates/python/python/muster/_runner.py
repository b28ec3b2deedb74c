"""The server that runs Python functions at a worker; its text is sent there, so it needs the standard library alone.

A call is three words: the version of Python that it was made for, the function and the arguments. The latter two are
pickles in base 64, or a name: ``<`` and a file in the sandbox; before the function ``*`` means that the one argument is
a list of tuples of arguments, and the answer a list. The answer is a pickle on standard output, or in the
file ``__answer__`` if it is long; what the function prints goes to standard error.
"""

import base64
import os
import pickle
import socket
import struct
import sys
import traceback
import types
import zlib

#: Functions that are kept from one call to the next, by the words they came in.
FUNCTIONS_MAX = 64
#: Bytes of an answer that standard output takes; more would be a file in any case.
ANSWER_BYTES_MAX = 3000


def load(word):
    """What a word says."""
    if word.startswith("<"):
        with open(word[1:], "rb") as file:
            return pickle.load(file)
    return pickle.loads(base64.b64decode(word))


def function_of(word, known):
    """The function, unpickled once."""
    if word.startswith("<"):
        # Another call may have another function in a file of the same name.
        return load(word)
    if word not in known:
        if len(known) >= FUNCTIONS_MAX:
            known.clear()
        known[word] = load(word)
    return known[word]


def pickled(value):
    """A pickle of an answer, by cloudpickle if it takes that."""
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception:
        import cloudpickle

        return cloudpickle.dumps(value)


def wrong(error):
    """The answer that an exception is."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        answer = pickled(("raised", error, text))
        # An exception may be pickled that cannot be unpickled.
        pickle.loads(answer)
        return answer
    except Exception:
        return pickled(("raised", RuntimeError("%s: %s" % (type(error).__name__, error)), text))


def run(words, known):
    """One call; its answer."""
    own = "%d.%d" % sys.version_info[:2]
    if words[0] != own:
        return pickled(("version", own, sys.executable))
    if len(words) == 1:
        return pickled(("value", own, ""))
    try:
        each = words[1].startswith("*")
        function = function_of(words[1][each:], known)
        args, kwargs = load(words[2])
        if each:
            value = [function(*item) for item in args[0]]
        else:
            value = function(*args, **kwargs)
        return pickled(("value", value, ""))
    except BaseException as error:
        if isinstance(error, SystemExit):
            error = RuntimeError("the function called sys.exit(%r)" % (error.code,))
        return wrong(error)


def read(link, count):
    """So many bytes; the end of the process if there are no more."""
    got = bytearray()
    while len(got) < count:
        more = link.recv(count - len(got))
        if not more:
            os._exit(0)
        got += more
    return bytes(got)


def childless():
    """Whether there is no process that a call has left behind."""
    try:
        return os.waitpid(-1, os.WNOHANG) is None
    except ChildProcessError:
        return True


def bring_cloudpickle(source):
    """Makes the module that the functions were pickled by, whatever is installed here."""
    package = types.ModuleType("cloudpickle")
    package.__path__ = []
    module = types.ModuleType("cloudpickle.cloudpickle")
    module.__file__ = "<cloudpickle>"
    # For executors that are made here.
    module.__muster_text__ = source
    sys.modules["cloudpickle"], sys.modules["cloudpickle.cloudpickle"] = package, module
    exec(compile(zlib.decompress(base64.b64decode(source)), module.__file__, "exec"), module.__dict__)
    package.__dict__.update((name, value) for name, value in module.__dict__.items() if not name.startswith("__"))
    package.cloudpickle = module


def main():
    """Answers calls until the worker closes the socket."""
    bring_cloudpickle(sys.argv[1])
    link = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    answers = os.dup(1)
    os.dup2(2, 1)
    home, own = os.environ["MUSTER_SANDBOX"], os.getpid()
    known = {}
    while True:
        number, length = struct.unpack("<II", read(link, 8))
        words = read(link, length).decode().split("\0")
        os.chdir(home)
        answer = run(words, known)
        if os.getpid() != own:
            # A child that a function has made and that has come back by its end.
            os._exit(0)
        sys.stdout.flush()
        sys.stderr.flush()
        if len(answer) <= ANSWER_BYTES_MAX:
            os.write(answers, answer)
        else:
            os.chdir(home)
            with open("__answer__", "wb") as file:
                file.write(answer)
        link.sendall(struct.pack("<IiB", number, 0, childless()))


main()
