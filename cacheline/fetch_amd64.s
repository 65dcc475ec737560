#include "textflag.h"

// func Fetch(p unsafe.Pointer, lines int)
TEXT ·Fetch(SB), NOSPLIT, $0-16
	MOVQ  p+0(FP), AX
	MOVQ  lines+8(FP), CX
	TESTQ CX, CX
	JLE   done

next:
	PREFETCHT0 (AX)
	ADDQ       $64, AX
	DECQ       CX
	JNZ        next

done:
	RET
