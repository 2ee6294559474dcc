# Runs at power-on and after each soft reset: the loop. Ctrl-C ends it and gives the REPL.
import tactus.main

tactus.main.main()
