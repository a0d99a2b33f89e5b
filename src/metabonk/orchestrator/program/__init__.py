"""The stream that follows the director.

``process`` its process, and the order in which workers are shown in it
``routes``  its running order for that process, and its streams for viewers
``air``     the process that puts it on air
"""
