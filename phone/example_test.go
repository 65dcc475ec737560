package phone_test

import (
	"context"
	"fmt"
	"log"

	"carillon/phone"
)

// Two phones of one process talk: one answers and echoes, the other says a tone until it hears it come back.
func Example() {
	callee, err := phone.New(phone.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer callee.Close()
	callee.Handle(func(in *phone.Incoming) {
		if _, err := in.Answer(phone.Answer{Audio: phone.Echo(), Secure: true}); err != nil {
			log.Print(err)
		}
	})

	caller, err := phone.New(phone.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer caller.Close()
	heard := make(chan struct{})
	said := phone.Tone(1004)
	said.Hear = func(samples []int16) {
		if phone.ToneShare(samples, 1004) > 0.9 {
			select {
			case heard <- struct{}{}:
			default:
			}
		}
	}
	call, err := caller.Dial(context.Background(), phone.Invite{
		To: "sip:+19995550101@" + callee.Addr().String(), Target: callee.Addr(), Suites: phone.DefaultSuites(), Audio: said,
	})
	if err != nil {
		log.Fatal(err)
	}
	<-heard
	fmt.Println(call.Stats().Profile, call.Stats().Suite)
	if err := call.Hangup(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(call.Ended())
	// Output:
	// RTP/SAVP AEAD_AES_128_GCM
	// hangup
}
