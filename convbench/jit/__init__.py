"""From text in LLVM's language to machine code for this very CPU, without a C compiler."""
