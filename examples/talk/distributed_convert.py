from workqueue import WorkQueue, Task
import os, sys

wq = WorkQueue()
output_ext = sys.argv[1]

# For each file, construct & submit a transcoding task
for input_file in sys.argv[2:]:
    output_file = os.path.splitext(input_file)[0] + '.' + output_ext
    task = Task('convert %s %s' % (input_file, output_file))
    task.specify_input_file(input_file)
    task.specify_output_file(output_file)
    wq.submit(task)

# While workqueue is not empty, poll for task and then print command and result
while not wq.empty():
    task = wq.wait(1)
    if task:
        print(task.command, task.result)
