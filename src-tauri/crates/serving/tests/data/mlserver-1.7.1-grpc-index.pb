

bc2State.READY

bc1State.READY