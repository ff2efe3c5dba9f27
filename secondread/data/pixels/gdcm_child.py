"""Decode one compressed frame with GDCM. Run as a program by `gdcm_frame`, never imported.

GDCM's decoders are not made for damaged files: a few changed bytes end the process. So each frame gets a process of its
own, without the secrets of the environment, and with bounds on its memory and time.

Arguments: the folder that GDCM lies in, then the layout as JSON. Input: the frame. Output: its pixels, native order.
Exit codes: 0 done, 1 the frame is damaged, 3 GDCM cannot be loaded here. Standard error begins with a line that says
that GDCM is loaded: what ends before it did not end because of the frame.
"""

from __future__ import annotations

import json
import os
import resource
import sys

_MEMORY_BYTES = 4 << 30  # address space; the largest frame that is let through needs a fifth of it
_LOADED = b"secondread: GDCM is loaded\n"  # as `gdcm_frame` knows it
_CPU_SECONDS = 60  # the largest frame takes 4


def main() -> None:
    """Pixels to standard output, or an exit code that is not 0."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    # SIGXCPU ends it at the first; the kernel's SIGKILL at the second would look like that of one short of memory
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.path.insert(0, sys.argv[1])
    try:
        import gdcm
    except ImportError as error:
        sys.stderr.write(str(error))
        sys.exit(3)  # as of `DependencyError`: no frame could be decoded
    os.write(2, _LOADED)

    layout = json.loads(sys.argv[2])
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(sys.stdin.buffer.read())
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((layout["columns"], layout["rows"], 1))
    image.SetPhotometricInterpretation(
        gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.GetPIType(layout["photometric"]))
    )
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(layout["transfer_syntax"])))
    # for 12 bits of extended JPEG its decoder wants to be told that 12 are allocated too, and then gives 16
    bits = layout["bits"]
    allocated = 12 if layout["extended"] else 8 if bits <= 8 else 16
    image.SetPixelFormat(gdcm.PixelFormat(layout["samples"], allocated, bits, bits - 1, layout["signed"]))
    image.SetDataElement(element)
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ExplicitVRLittleEndian))
    change.SetInput(image)
    if not change.Change():  # unlike `GetBuffer`, it says when decoding failed
        os._exit(1)
    pixels = change.GetOutput().GetDataElement().GetByteValue().GetBuffer()
    sys.stdout.buffer.write(pixels.encode("utf-8", "surrogateescape"))
    sys.stdout.flush()
    # not the ordinary way: which of its objects goes first is left to chance there, and one order ends in an abort
    os._exit(0)


if __name__ == "__main__":
    main()
